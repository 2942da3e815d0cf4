//! Which ranks work on which blocks, counted. A block counts once per rank however many requests share it.
//!
//! Prompts are paths in a tree whose edges are compressed: a request's blocks are cut only where another request leaves
//! them, so adding one of a thousand blocks is a few comparisons and one copy, and what a request keeps is the number of
//! the node it ends at. Nodes are joined again when those who cut them are gone.

use super::BlockMap;
use super::path_node::{NONE, PathNode};

#[derive(Debug, Default)]
pub(crate) struct LivePaths {
    nodes: Vec<PathNode>,
    free: Vec<u32>,
    /// Nodes by the hash of their first block.
    heads: BlockMap<u64, u32>,
    blocks: usize,
}

impl LivePaths {
    /// One more request of `slot` uses the chain. Returns the node it ends at, for [`Self::release`], and by how much the
    /// rank's weight grew.
    pub(crate) fn retain(&mut self, chain: &[u64], slot: u32) -> (u32, u64) {
        let (mut end, mut grown, mut depth) = (NONE, 0, 0);
        while let Some(first) = chain.get(depth) {
            let rest = &chain[depth..];
            let node = match self.heads.get(first).copied() {
                Some(node) => self.cut(node, rest),
                None => self.grow(end, rest),
            };
            depth += self.node(node).hashes.len();
            grown += self.node_mut(node).retain(slot);
            end = node;
        }
        (end, grown)
    }

    /// One request of `slot` that ends at `end` is done; returns by how much the rank's weight shrank.
    pub(crate) fn release(&mut self, end: u32, slot: u32) -> u64 {
        let (mut at, mut shrunk, mut lowest) = (end, 0, NONE);
        while at != NONE {
            let node = self.node_mut(at);
            shrunk += node.release(slot);
            let parent = node.parent;
            if node.holders.is_empty() {
                self.remove(at);
            } else if lowest == NONE {
                lowest = at;
            }
            at = parent;
        }
        if lowest != NONE {
            self.join(lowest);
        }
        shrunk
    }

    /// Sets the weight of the blocks that one request alone uses, from its end on; calls `changed(old, new)` with the
    /// weights of each node.
    pub(crate) fn reweigh(
        &mut self,
        end: u32,
        slot: u32,
        weight: u64,
        mut changed: impl FnMut(u64, u64),
    ) {
        let mut at = end;
        while at != NONE {
            let node = self.node_mut(at);
            // Shared blocks are the beginning of the chain.
            let Some(old) = node.reweigh(slot, weight) else {
                return;
            };
            changed(old, weight * node.len());
            at = node.parent;
        }
    }

    /// Notes in `depths[slot]`, which is 0, how many blocks of the chain each rank works on.
    pub(crate) fn depths(&self, chain: &[u64], depths: &mut [u32]) {
        // Who works on a node works on all before it: from the end on, a node with as many holders as the one after it
        // has the same ones.
        let mut known = 0;
        for (node, depth) in self.path(chain).into_iter().rev() {
            if node.holders.len() == known {
                continue;
            }
            known = node.holders.len();
            for holder in &node.holders {
                let noted = &mut depths[holder.slot as usize];
                *noted = (*noted).max(depth);
            }
        }
    }

    /// The nodes that a chain goes through and how many of its blocks end there.
    fn path(&self, chain: &[u64]) -> Vec<(&PathNode, u32)> {
        let mut path = Vec::with_capacity(16);
        let mut depth = 0;
        while let Some(first) = chain.get(depth) {
            let Some(node) = self.heads.get(first) else {
                break;
            };
            let node = self.node(*node);
            let common = node.common(&chain[depth..]);
            depth += common;
            path.push((node, u32::try_from(depth).unwrap_or(u32::MAX)));
            if common < node.hashes.len() {
                break;
            }
        }
        path
    }

    /// Distinct blocks in use.
    pub(crate) fn len(&self) -> usize {
        self.blocks
    }

    pub(crate) fn bytes(&self) -> usize {
        let lists = |node: &PathNode| {
            node.hashes.capacity() * 8
                + node.children.capacity() * 4
                + node.holders.capacity() * size_of::<super::path_node::Holder>()
        };
        self.nodes.iter().map(lists).sum::<usize>()
            + self.nodes.capacity() * size_of::<PathNode>()
            + self.free.capacity() * 4
            + self.heads.capacity() * (size_of::<(u64, u32)>() + 1)
    }

    fn node(&self, node: u32) -> &PathNode {
        &self.nodes[node as usize]
    }

    fn node_mut(&mut self, node: u32) -> &mut PathNode {
        &mut self.nodes[node as usize]
    }

    /// A new node after `parent`.
    fn grow(&mut self, parent: u32, hashes: &[u64]) -> u32 {
        self.blocks += hashes.len();
        let node = self.place(PathNode {
            hashes: hashes.to_vec(),
            parent,
            ..PathNode::default()
        });
        if parent != NONE {
            self.node_mut(parent).children.push(node);
        }
        node
    }

    /// Cuts a node where the chain leaves it or ends; returns the part that the chain covers. The later part keeps the
    /// number: requests end there.
    fn cut(&mut self, node: u32, chain: &[u64]) -> u32 {
        let common = self.node(node).common(chain);
        let whole = self.node_mut(node);
        if common == whole.hashes.len() {
            return node;
        }
        let tail = whole.hashes.split_off(common);
        let first = PathNode {
            hashes: std::mem::replace(&mut whole.hashes, tail),
            parent: whole.parent,
            children: vec![node],
            holders: whole.holders.clone(),
        };
        let parent = first.parent;
        let tail_head = whole.hashes[0];
        let begin = self.place(first);
        self.heads.insert(tail_head, node);
        self.node_mut(node).parent = begin;
        self.replace_child(parent, node, begin);
        begin
    }

    /// Joins a node with its only child when nobody ends between them.
    fn join(&mut self, node: u32) {
        let [child] = self.node(node).children[..] else {
            return;
        };
        if self.node(node).holders != self.node(child).holders {
            return;
        }
        let first = std::mem::take(self.node_mut(node));
        self.free.push(node);
        self.heads.insert(first.hashes[0], child);
        let inner = self.node(child).hashes[0];
        self.heads.remove(&inner);
        let joined = self.node_mut(child);
        let mut hashes = first.hashes;
        hashes.append(&mut joined.hashes);
        joined.hashes = hashes;
        joined.parent = first.parent;
        self.replace_child(first.parent, node, child);
    }

    /// Forgets a node that nobody uses, and so nobody below it.
    fn remove(&mut self, node: u32) {
        let gone = std::mem::take(self.node_mut(node));
        self.blocks -= gone.hashes.len();
        self.heads.remove(&gone.hashes[0]);
        self.free.push(node);
        if gone.parent != NONE {
            let siblings = &mut self.node_mut(gone.parent).children;
            siblings.retain(|child| *child != node);
        }
    }

    fn place(&mut self, node: PathNode) -> u32 {
        let head = node.hashes[0];
        let number = if let Some(number) = self.free.pop() {
            self.nodes[number as usize] = node;
            number
        } else {
            self.nodes.push(node);
            // Each node has a block of its own: four billion do not fit into memory.
            u32::try_from(self.nodes.len() - 1).unwrap_or(u32::MAX)
        };
        self.heads.insert(head, number);
        number
    }

    fn replace_child(&mut self, parent: u32, old: u32, new: u32) {
        if parent == NONE {
            return;
        }
        for child in &mut self.node_mut(parent).children {
            if *child == old {
                *child = new;
            }
        }
    }
}
