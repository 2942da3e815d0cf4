/** Answers and frames of llama-server as recorded from llama.cpp (2026-11), shortened. */

/** `GET /props`. */
export const PROPS = {
  default_generation_settings: { n_ctx: 2048 },
  total_slots: 4,
  model_path: '/models/SmolLM2-135M-Instruct.Q4_1.gguf',
};
/** `GET /v1/models`. */
export const MODELS = { object: 'list', data: [{ id: '/models/SmolLM2-135M-Instruct.Q4_1.gguf' }] };

/** A frame of one token. */
export const token = (content: string, id: number, predicted: number, more = {}) => ({
  index: 0,
  content,
  tokens: [id],
  stop: false,
  id_slot: -1,
  tokens_predicted: predicted,
  tokens_evaluated: 16,
  ...more,
});
/** The last frame. */
export const last = (stop_type: string, predicted: number) => ({
  index: 0,
  content: '',
  tokens: [],
  id_slot: 3,
  stop: true,
  tokens_predicted: predicted,
  tokens_evaluated: 16,
  stop_type,
  stopping_word: '',
  timings: { cache_n: 15, prompt_n: 1 },
});
