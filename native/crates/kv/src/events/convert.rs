//! Engine events into cache events (RP 2.5): what does not matter for prefix matching goes, token ids become hashes.

use super::block_hasher::BlockHasher;
use super::cache_event::{CacheEventData, tier_of_medium};
use super::cache_groups::CacheGroups;
use super::counters::{EventCounters, StoresAndRemovals};
use super::extra_keys;
use super::held_blocks::HeldBlocks;
use super::wire::{WireEvent, WirePlace, WireStored};
use crate::BlockSeed;
use crate::index::{CacheTier, StoredBlock};

/// How a worker's blocks are cut and hashed; the same on its routers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockFormat {
    /// Tokens per block.
    pub block_size: usize,
    /// Blocks are hashed with the token after them, as some routers do for engines that draft. Ours hash prompts without
    /// it, whatever the engine does.
    pub is_eagle: bool,
    /// Token that stands for images in engine events; prompts have pad values in its place.
    pub image_token: Option<u32>,
}

/// The state that conversion needs of one rank.
#[derive(Debug)]
pub(crate) struct RankCache {
    pub(crate) held: HeldBlocks,
    groups: CacheGroups,
}

impl RankCache {
    pub(crate) fn new(max_held_blocks: usize) -> Self {
        Self {
            held: HeldBlocks::new(max_held_blocks),
            groups: CacheGroups::default(),
        }
    }
}

/// Converts with one hash buffer.
#[derive(Debug)]
pub(crate) struct Converter {
    format: BlockFormat,
    hasher: BlockHasher,
}

impl Converter {
    pub(crate) fn new(format: BlockFormat) -> Self {
        Self {
            format,
            hasher: BlockHasher::default(),
        }
    }

    /// The event's change; none when nothing is left to tell.
    pub(crate) fn convert(
        &mut self,
        event: WireEvent<'_>,
        cache: &mut RankCache,
        counters: &mut EventCounters,
    ) -> Option<(CacheTier, CacheEventData)> {
        match event {
            WireEvent::Stored(stored) => {
                counters.stored += 1;
                let tier = tier_of(&stored.place, cache)
                    .map_err(|irrelevant| irrelevant.count(counters).stored += 1)
                    .ok()?;
                let data = self.convert_stored(&stored, tier, cache, counters)?;
                Some((tier, data))
            }
            WireEvent::Removed {
                mut block_hashes,
                place,
            } => {
                counters.removed += 1;
                let tier = tier_of(&place, cache)
                    .map_err(|irrelevant| irrelevant.count(counters).removed += 1)
                    .ok()?;
                let before = block_hashes.len();
                block_hashes.retain(|hash| cache.held.remove(tier, *hash));
                counters.removed_copies += (before - block_hashes.len()) as u64;
                (!block_hashes.is_empty()).then_some((
                    tier,
                    CacheEventData::Removed {
                        engine_hashes: block_hashes,
                    },
                ))
            }
            WireEvent::Cleared => {
                counters.cleared += 1;
                cache.held.clear();
                Some((CacheTier::Device, CacheEventData::Cleared))
            }
        }
    }

    fn convert_stored(
        &mut self,
        stored: &WireStored<'_>,
        tier: CacheTier,
        cache: &mut RankCache,
        counters: &mut EventCounters,
    ) -> Option<CacheEventData> {
        if stored.block_size != self.format.block_size as u64 || stored.block_size == 0 {
            counters.wrong_block_sizes += 1;
            counters.wrong_block_size = stored.block_size;
            return None;
        }
        if repeats_a_hash(stored) {
            counters.repeated_hashes += 1;
            return None;
        }
        let seed = seed_of(stored, &cache.held);
        let blocks = self.hash_blocks(stored, seed);
        if blocks.len() < stored.block_hashes.len() {
            counters.short_tokens += 1;
        }
        for block in &blocks {
            cache.held.store(tier, block.engine_hash, seed);
        }
        (!blocks.is_empty()).then_some(CacheEventData::Stored {
            parent: stored.parent,
            blocks,
        })
    }

    /// The blocks whose tokens are all there.
    fn hash_blocks(&mut self, stored: &WireStored<'_>, seed: BlockSeed) -> Vec<StoredBlock> {
        let overlap = usize::from(self.format.is_eagle);
        let mut objects = stored.extra_keys.multimodal.as_slice();
        let mut mm_hashes = Vec::new();
        let starts = (0_usize..).step_by(self.format.block_size);
        let mut blocks = Vec::with_capacity(stored.block_hashes.len());
        for ((index, &engine_hash), start) in (0_u32..).zip(&stored.block_hashes).zip(starts) {
            let end = start.saturating_add(self.format.block_size + overlap);
            let Some(tokens) = stored.token_ids.get(start..end) else {
                break;
            };
            let count = objects.partition_point(|(block, _)| *block <= index);
            mm_hashes.clear();
            mm_hashes.extend(objects[..count].iter().map(|(_, hash)| *hash));
            objects = &objects[count..];
            let local_hash = match self.format.image_token {
                Some(image) if !mm_hashes.is_empty() => {
                    self.hasher.hash_padded(tokens, image, &mm_hashes, seed)
                }
                _ => self.hasher.hash(tokens, &mm_hashes, seed),
            };
            blocks.push(StoredBlock {
                engine_hash,
                local_hash,
            });
        }
        blocks
    }
}

/// Why an event does not matter.
enum Irrelevant {
    Locality,
    Group,
}

impl Irrelevant {
    fn count(self, counters: &mut EventCounters) -> &mut StoresAndRemovals {
        match self {
            Self::Locality => &mut counters.filtered_localities,
            Self::Group => &mut counters.filtered_groups,
        }
    }
}

/// Tier of an event that matters.
fn tier_of(place: &WirePlace<'_>, cache: &mut RankCache) -> Result<CacheTier, Irrelevant> {
    if place.locality.is_some_and(|locality| locality != "LOCAL") {
        return Err(Irrelevant::Locality);
    }
    if !cache.groups.is_main(place) {
        return Err(Irrelevant::Group);
    }
    Ok(tier_of_medium(place.medium))
}

/// A chain keeps the seed it began with; only its first block names a salt among the extra keys.
fn seed_of(stored: &WireStored<'_>, held: &HeldBlocks) -> BlockSeed {
    if let Some(seed) = stored.parent.and_then(|parent| held.seed(parent)) {
        return seed;
    }
    let lora_name = stored.lora_name.filter(|name| !name.is_empty());
    let from_keys = || {
        let texts = &stored.extra_keys.first_block_texts;
        extra_keys::salt(texts, lora_name).filter(|_| stored.parent.is_none())
    };
    let salt = stored
        .cache_salt
        .filter(|salt| !salt.is_empty())
        .or_else(from_keys);
    BlockSeed::new(lora_name.unwrap_or(""), salt.unwrap_or(""))
}

/// Whether a block would follow itself.
fn repeats_a_hash(stored: &WireStored<'_>) -> bool {
    let mut hashes = stored.block_hashes.clone();
    hashes.extend(stored.parent);
    hashes.sort_unstable();
    hashes.windows(2).any(|pair| pair[0] == pair[1])
}
