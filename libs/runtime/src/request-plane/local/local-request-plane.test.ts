import { requestPlaneContract } from '../request-plane.contract.ts';
import { LocalRequestPlane } from './local-request-plane.ts';

requestPlaneContract('local', async () => {
  const plane = new LocalRequestPlane();
  return Promise.resolve({ server: plane, client: plane, close: () => plane.close() });
});
