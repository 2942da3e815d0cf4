//! Cache groups of hybrid models. Only full attention decides how much of a prompt can be reused; windows and state-space
//! groups use the same hashes and must not remove what the main group still holds.

use super::wire::WirePlace;

/// Hybrid models have a handful; more is nonsense and treated as unknown.
const MAX_GROUPS: usize = 64;

#[derive(Debug, Default)]
pub(crate) struct CacheGroups {
    known: Vec<(u64, bool)>,
}

impl CacheGroups {
    /// Whether an event concerns the main group. Removals name the group only, so kinds are learnt from stores.
    pub(crate) fn is_main(&mut self, place: &WirePlace<'_>) -> bool {
        let group = place.group_idx.unwrap_or(0);
        let known = self.known.iter().position(|(known, _)| *known == group);
        let Some(kind) = place.spec_kind else {
            return known.map_or(group == 0, |position| self.known[position].1);
        };
        let is_main = matches!(
            kind,
            "full_attention" | "mla_attention" | "sink_full_attention"
        );
        match known {
            Some(position) => self.known[position].1 = is_main,
            None if self.known.len() < MAX_GROUPS => self.known.push((group, is_main)),
            None => {}
        }
        is_main
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(group_idx: u64, spec_kind: Option<&str>) -> WirePlace<'_> {
        WirePlace {
            group_idx: Some(group_idx),
            spec_kind,
            ..WirePlace::default()
        }
    }

    #[test]
    fn removals_follow_the_kind_that_stores_named() {
        let mut groups = CacheGroups::default();
        assert!(groups.is_main(&WirePlace::default()));
        assert!(!groups.is_main(&place(1, None)));
        assert!(!groups.is_main(&place(0, Some("sliding_window"))));
        assert!(groups.is_main(&place(1, Some("mla_attention"))));
        assert!(!groups.is_main(&place(0, None)));
        assert!(groups.is_main(&place(1, None)));
        assert!(!groups.is_main(&place(2, Some("something_new"))));
    }
}
