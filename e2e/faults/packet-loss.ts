/**
 * A network that carries nothing: the kernel drops every packet to and from certain ports of loopback, in both
 * directions, as a pulled cable or a wrong firewall rule does. Nobody is told: connections stay open and are silent.
 */
import { execFile, execFileSync } from 'node:child_process';
import { promisify } from 'node:util';

const run = promisify(execFile);
const TABLES = 'iptables';

/** Ports that are cut off as long as this is not closed. */
export class PacketLoss implements AsyncDisposable {
  readonly #ports: readonly number[];
  #ended = false;

  private constructor(ports: readonly number[]) {
    this.#ports = ports;
  }

  /** Why this machine cannot do it; undefined when it can. */
  static obstacle(): string | undefined {
    try {
      execFileSync(TABLES, ['-w', '-S', 'INPUT'], { stdio: 'ignore' });
      return undefined;
    } catch {
      return 'needs iptables and the right to use it (root)';
    }
  }

  /** Begins to drop packets. */
  static async begin(ports: readonly number[]): Promise<PacketLoss> {
    const loss = new PacketLoss(ports);
    try {
      await run(TABLES, ['-w', '-I', ...rule(ports)]);
    } catch (error) {
      await loss.end();
      throw error;
    }
    return loss;
  }

  /** Lets packets through again. Idempotent. */
  async end(): Promise<void> {
    if (this.#ended) return;
    this.#ended = true;
    await run(TABLES, ['-w', '-D', ...rule(this.#ports)]).catch(() => undefined); // it was never made
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.end();
  }
}

/** One rule, so that all ports are cut in the same moment; 15 ports at most. */
function rule(ports: readonly number[]): readonly string[] {
  return [
    'INPUT',
    '-i',
    'lo',
    '-p',
    'tcp',
    '-m',
    'multiport',
    '--ports',
    ports.join(),
    '-j',
    'DROP',
  ];
}
