//! Tokenizers and chat templates: messages in, token ids and block hashes out.
