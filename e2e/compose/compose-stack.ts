/** The compose file as a user runs it, driven from a test: up, logs, container processes, down. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

const run = promisify(execFile);
const ROOT = new URL('../..', import.meta.url).pathname;
const PROJECT = 'dynamo-e2e';

/** One container of the stack. */
export interface ContainerInfo {
  readonly id: string;
  /** Pid on the host of the container's first process. */
  readonly pid: number;
  readonly restarts: number;
  readonly status: string;
}

/** One JSON log line of a service. */
export interface LogLine {
  readonly trace_id?: string;
  readonly message?: string;
}

/** A running stack; disposing it takes it down with its volumes. */
export class ComposeStack implements AsyncDisposable {
  readonly #port: number;

  private constructor(port: number) {
    this.#port = port;
  }

  /** Builds the images, starts everything and waits until a model is served. */
  static async up(options: {
    readonly workers: number;
    readonly routers: number;
    readonly port: number;
  }): Promise<ComposeStack> {
    const { port, routers, workers } = options;
    const stack = new ComposeStack(port);
    const scale = ['--scale', `worker=${workers}`, '--scale', `router=${routers}`];
    await stack.compose('up', '--build', '--detach', ...scale);
    await stack.servesModel();
    return stack;
  }

  /** Changes how many containers a service has. */
  async scale(service: string, count: number): Promise<void> {
    const scale = ['--scale', `${service}=${count}`];
    await this.compose('up', '--detach', '--no-recreate', '--no-deps', ...scale, service);
  }

  /** Ends a container at once with `docker kill`; its policy does not start it again. */
  async kill(container: ContainerInfo): Promise<void> {
    await this.#docker(['kill', container.id]);
  }

  /** Base URL of the frontend. */
  get url(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  /** Runs `docker compose` with this stack's project. @returns its standard output */
  async compose(...args: readonly string[]): Promise<string> {
    return this.#docker(['compose', '-p', PROJECT, ...args]);
  }

  /** The containers of a service. */
  async containers(service: string): Promise<readonly ContainerInfo[]> {
    const ids = (await this.compose('ps', '--all', '--quiet', service)).trim().split('\n');
    const format = '{{.Id}} {{.State.Pid}} {{.RestartCount}} {{.State.Status}}';
    const lines = await this.#docker(['inspect', '--format', format, ...ids]);
    return lines
      .trim()
      .split('\n')
      .map((line) => {
        const [id = '', pid, restarts, status = ''] = line.split(' ');
        return { id, pid: Number(pid), restarts: Number(restarts), status };
      });
  }

  /** JSON log lines of a service. */
  async logs(service: string): Promise<readonly LogLine[]> {
    const text = await this.compose('logs', '--no-log-prefix', '--no-color', service);
    return text.split('\n').flatMap((line) => {
      try {
        return [JSON.parse(line) as LogLine];
      } catch {
        return [];
      }
    });
  }

  /** Waits until `/v1/models` lists a model. */
  async servesModel(): Promise<string> {
    for (let attempt = 0; attempt < 240; attempt += 1) {
      const model = await this.#firstModel();
      if (model !== undefined) return model;
      await new Promise((resolve) => setTimeout(resolve, 500));
    }
    throw new Error(`no model is served:\n${await this.compose('logs', '--tail', '40')}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.compose('down', '--volumes', '--timeout', '5');
  }

  async #firstModel(): Promise<string | undefined> {
    try {
      const response = await fetch(`${this.url}/v1/models`);
      const body = (await response.json()) as { data: readonly { id: string }[] };
      return body.data[0]?.id;
    } catch {
      return undefined;
    }
  }

  async #docker(args: readonly string[]): Promise<string> {
    const env = { ...process.env, DOCKER_BUILDKIT: '1', DYN_HTTP_PORT: String(this.#port) };
    const { stdout } = await run('docker', args, { cwd: ROOT, env, maxBuffer: 64 << 20 });
    return stdout;
  }
}
