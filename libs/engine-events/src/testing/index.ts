export type { ScriptedPublisherOptions } from './scripted-publisher.ts';
export { ScriptedPublisher } from './scripted-publisher.ts';
