// The request plane's cost per token: the mux against one gRPC stream per request, in one run.
//
//   node --conditions=@dynamo-ts/source bench/mux.mjs [--seconds 3] [--streams 32,128]
//
// A server process steps like an engine: each step gives one 30-byte token to every open request, every 10 ms ("paced")
// or as fast as it can ("saturated"). CPU is process.cpuUsage of each process over the run, request set-up included;
// the first run of each kind warms up and is dropped. The peer is what a plain gRPC server-streaming call costs.
import { fork } from 'node:child_process';

import { asInstanceId } from '@dynamo-ts/base';
import { Context, GrpcRequestPlane, createGrpcServer } from '@dynamo-ts/runtime';
import { nullLogger } from '@dynamo-ts/telemetry';
import { Client, credentials } from '@grpc/grpc-js';

const ENDPOINT = { namespace: 'bench', component: 'backend', endpoint: 'generate' };
const INSTANCE = asInstanceId(7n);
const TOKEN = Buffer.alloc(30, 1);
const STREAM_METHOD = {
  path: '/bench.Engine/Generate',
  requestStream: false,
  responseStream: true,
  requestSerialize: (bytes) => bytes,
  requestDeserialize: (bytes) => bytes,
  responseSerialize: (bytes) => bytes,
  responseDeserialize: (bytes) => bytes,
};

/** Gives every open request a token per step. */
class Stepper {
  #requests = new Set();
  #timer;

  add({ tokens, stepMs }, request) {
    this.#requests.add({ ...request, left: tokens });
    if (this.#timer === undefined) this.#run(stepMs);
  }

  #run(stepMs) {
    const step = () => {
      for (const request of this.#requests) {
        if (!request.ready()) continue;
        request.write(TOKEN);
        request.left -= 1;
        if (request.left > 0) continue;
        this.#requests.delete(request);
        request.end();
      }
      if (this.#requests.size === 0) {
        clearInterval(this.#timer);
        this.#timer = undefined;
      } else if (stepMs === 0) {
        setImmediate(step);
      }
    };
    this.#timer = stepMs === 0 ? (setImmediate(step), null) : setInterval(step, stepMs);
  }
}

async function serve() {
  const stepper = new Stepper();
  const parse = (payload) => JSON.parse(Buffer.from(payload).toString());
  const plane = new GrpcRequestPlane({
    logger: nullLogger,
    host: '127.0.0.1',
    services: [
      {
        definition: { generate: STREAM_METHOD },
        implementation: {
          generate: (call) => {
            let ready = true;
            stepper.add(parse(call.request), {
              ready: () => ready,
              write: (token) => {
                ready = call.write(token);
                if (!ready) call.once('drain', () => (ready = true));
              },
              end: () => call.end(),
            });
          },
        },
      },
    ],
  });
  const { transport } = await plane.serve(
    { endpoint: ENDPOINT, instanceId: INSTANCE },
    (request, sink) => {
      let ready = true;
      stepper.add(parse(request.payload), {
        ready: () => ready,
        write: (token) => {
          ready = sink.write(token);
          if (!ready) void sink.drained().then(() => (ready = true));
        },
        end: () => sink.end(),
      });
    },
  );
  report(process, { address: transport.kind.value });
}

const KINDS = {
  mux: (address) => {
    const plane = new GrpcRequestPlane({ logger: nullLogger });
    const target = {
      endpoint: ENDPOINT,
      instanceId: INSTANCE,
      transport: { kind: { $case: 'grpc', value: address } },
    };
    return async (payload) => {
      const response = await plane.open(target, { payload, context: new Context() });
      let count = 0;
      for (;;) {
        const batch = await response.nextBatch();
        if (batch === undefined) return count;
        count += batch.length;
      }
    };
  },
  stream: (address) => {
    const client = new Client(address, credentials.createInsecure());
    const { path, requestSerialize, responseDeserialize } = STREAM_METHOD;
    return (payload) =>
      new Promise((resolve, reject) => {
        let count = 0;
        const call = client.makeServerStreamRequest(
          path,
          requestSerialize,
          responseDeserialize,
          payload,
        );
        call.on('data', () => (count += 1));
        call.on('end', () => resolve(count));
        call.on('error', reject);
      });
  },
};

async function consume(address) {
  const kinds = Object.fromEntries(
    Object.entries(KINDS).map(([name, make]) => [name, make(address)]),
  );
  process.on('message', async ({ kind, streams, tokens, stepMs }) => {
    const payload = Buffer.from(JSON.stringify({ tokens, stepMs }));
    const cpu = process.cpuUsage();
    const start = performance.now();
    const counts = await Promise.all(Array.from({ length: streams }, () => kinds[kind](payload)));
    const wallMs = performance.now() - start;
    const { user, system } = process.cpuUsage(cpu);
    report(process, {
      count: counts.reduce((sum, each) => sum + each, 0),
      wallMs,
      cpuUs: user + system,
    });
  });
  report(process, { ready: true });
}

/** Both children answer `cpu` with what they used since the last time. */
function report(child, message) {
  child.send(message);
}

async function main() {
  const option = (name, fallback) => {
    const index = process.argv.indexOf(`--${name}`);
    return index < 0 ? fallback : process.argv[index + 1];
  };
  const seconds = Number(option('seconds', 3));
  const widths = option('streams', '32,128').split(',').map(Number);
  const server = child('server');
  const { address } = await message(server);
  const client = child('client', address);
  await message(client);
  console.log('kind    streams  pace       tokens/s  client us/token  server us/token');
  for (const streams of widths) {
    for (const stepMs of [10, 0]) {
      const tokens = stepMs === 0 ? Math.ceil((400_000 * seconds) / 3 / streams) : seconds * 100;
      for (const kind of ['mux', 'stream']) {
        await once(client, server, { kind, streams, tokens: Math.ceil(tokens / 4), stepMs });
        const result = await once(client, server, { kind, streams, tokens, stepMs });
        const pace = stepMs === 0 ? 'saturated' : `${stepMs} ms`;
        console.log(
          [
            kind.padEnd(7),
            String(streams).padStart(7),
            ` ${pace.padEnd(9)}`,
            String(Math.round(result.count / (result.wallMs / 1000))).padStart(9),
            (result.cpuUs / result.count).toFixed(2).padStart(16),
            (result.serverUs / result.count).toFixed(2).padStart(16),
          ].join(' '),
        );
      }
    }
  }
  server.kill();
  client.kill();
}

async function once(client, server, run) {
  const before = await ask(server, 'cpu');
  client.send(run);
  const result = await message(client);
  const after = await ask(server, 'cpu');
  return { ...result, serverUs: after.cpu - before.cpu };
}

async function ask(process_, question) {
  process_.send(question);
  return message(process_);
}

function child(role, ...rest) {
  return fork(import.meta.filename, [role, ...rest], { execArgv: process.execArgv });
}

function message(process_) {
  return new Promise((resolve) => process_.once('message', resolve));
}

const [role, argument] = process.argv.slice(2);
if (role === 'server') {
  process.on('message', () => {
    const { user, system } = process.cpuUsage();
    report(process, { cpu: user + system });
  });
  await serve();
} else if (role === 'client') {
  await consume(argument);
} else {
  await main();
}
