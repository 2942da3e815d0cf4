/** Largest data of one frame: what one request may put on the wire before the others have their turn. */
export const MAX_FRAME_BYTES: number = 256 * 1024;

/** Size at which a message is closed. */
export const MAX_MESSAGE_BYTES: number = 512 * 1024;

/** Largest request payload that a server assembles; above `DYN_HTTP_BODY_LIMIT_MB` (45) with room for what wraps it. */
export const MAX_PAYLOAD_BYTES: number = 64 * 1024 * 1024;
