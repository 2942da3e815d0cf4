import type { InstanceId } from '@dynamo-ts/base';

import type { InstanceView } from '../local-router.ts';
import type { BusyMonitor } from './busy-monitor.ts';

/** The same instances, of which those that are over their busy thresholds are not free: for modes without a core. */
export function withoutBusy(instances: InstanceView, monitor: BusyMonitor): InstanceView {
  const free = (): readonly InstanceId[] => {
    monitor.refresh();
    const ids = instances.free();
    const notBusy = ids.filter((id) => !monitor.isBusy(id));
    return notBusy.length === ids.length ? ids : notBusy;
  };
  return {
    path: instances.path,
    instanceIds: () => instances.instanceIds(),
    routable: () => instances.routable(),
    free,
  };
}
