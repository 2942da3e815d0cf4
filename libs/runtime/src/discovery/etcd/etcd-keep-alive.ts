/** One keep-alive stream to etcd: asks for a renewal, gives the answer, and notices when the stream breaks. */
import type { Etcd3, ILeaseKeepAliveRequest, ILeaseKeepAliveResponse } from 'etcd3';

type Stream = Awaited<ReturnType<Etcd3['leaseClient']['leaseKeepAlive']>>;
type Answer = PromiseWithResolvers<ILeaseKeepAliveResponse>;

/** See the file comment. */
export class EtcdKeepAlive implements Disposable {
  /** Rejects when the stream breaks. */
  readonly broken: Promise<never>;
  readonly #stream: Stream;
  #answer: Answer | undefined;

  private constructor(stream: Stream) {
    this.#stream = stream;
    const broken = Promise.withResolvers<never>();
    broken.promise.catch(() => {});
    this.broken = broken.promise;
    stream.on('data', (response) => this.#answer?.resolve(response));
    stream.on('end', () => {
      broken.reject(new Error('etcd ended the keep-alive stream'));
    });
    stream.on('error', (error) => {
      broken.reject(error);
    });
  }

  /** Opens a stream. */
  static async open(client: Etcd3): Promise<EtcdKeepAlive> {
    return new EtcdKeepAlive(await client.leaseClient.leaseKeepAlive());
  }

  /** Renews a lease. @returns false when etcd no longer knows it */
  async renew(leaseId: string, timeoutMs: number): Promise<boolean> {
    const answer: Answer = Promise.withResolvers();
    this.#answer = answer;
    const timer = setTimeout(() => {
      answer.reject(new Error(`etcd did not renew the lease within ${timeoutMs} ms`));
    }, timeoutMs);
    try {
      const request: ILeaseKeepAliveRequest = { ID: leaseId };
      this.#stream.write(request);
      const response = await Promise.race([answer.promise, this.broken]);
      return response.TTL !== '0';
    } finally {
      clearTimeout(timer);
    }
  }

  [Symbol.dispose](): void {
    this.#stream.end();
    this.#stream.cancel();
  }
}
