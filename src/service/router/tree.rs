//! Maps paths to leaves, by one tree of segments. Knows patterns, and nothing of what is registered at them.
//!
//! Matching goes from the left, segment by segment: a literal before a parameter before the rest of the
//! path; where the better branch has no match the next one is tried. Paths without parameters are looked up
//! whole first, which has the same result at the cost of one hash.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;

use foldhash::fast::RandomState;
use percent_encoding::percent_decode_str;

use super::pattern::{Pattern, Segment};

type Map = HashMap<Box<str>, usize, RandomState>;

/// A tree of patterns. A pattern maps to a number of the caller's.
pub(super) struct Tree {
    // INVARIANT: never empty; the first is the root, above the first segment.
    nodes: Vec<TreeNode>,
    /// Leaves of patterns without parameters, by the whole path.
    whole: Map,
}

#[derive(Default)]
struct TreeNode {
    literals: Map,
    parameter: Option<usize>,
    /// The leaf of `{*rest}` below this node.
    rest: Option<usize>,
    /// The leaf of the pattern that ends here.
    leaf: Option<usize>,
    /// The scope that answers misses below here.
    scope: Option<usize>,
}

impl Tree {
    pub(super) fn new() -> Self {
        Self { nodes: vec![TreeNode::default()], whole: Map::default() }
    }

    /// The leaf of a pattern of this shape; `new` becomes it where there is none.
    pub(super) fn leaf_or_insert(&mut self, pattern: &Pattern, new: usize) -> usize {
        if let Some(path) = pattern.as_literal() {
            self.whole.entry(path.into()).or_insert(new);
        }
        let (last, above) = match pattern.segments.split_last() {
            Some((Segment::Rest, above)) => (true, above),
            _ => (false, &pattern.segments[..]),
        };
        let node = self.node(above);
        let leaf = if last { &mut self.nodes[node].rest } else { &mut self.nodes[node].leaf };
        *leaf.get_or_insert(new)
    }

    /// Makes this scope answer the misses below a prefix.
    pub(super) fn set_scope(&mut self, prefix: &Pattern, scope: usize) {
        let node = self.node(&prefix.segments);
        self.nodes[node].scope = Some(scope);
    }

    fn node(&mut self, segments: &[Segment]) -> usize {
        let mut node = 0;
        for segment in segments {
            let next = self.nodes.len();
            node = match segment {
                Segment::Literal(text) => *self.nodes[node].literals.entry(text.clone()).or_insert(next),
                Segment::Parameter => *self.nodes[node].parameter.get_or_insert(next),
                Segment::Rest => unreachable!("taken off by the caller"),
            };
            if node == next {
                self.nodes.push(TreeNode::default());
            }
        }
        node
    }

    /// The leaf for a path in its normal form, and the places of its parameters. Leaves that are not accepted
    /// do not match.
    #[inline]
    pub(super) fn find(
        &self,
        path: &str,
        parameters: &mut Vec<Range<u16>>,
        accepts: &impl Fn(usize) -> bool,
    ) -> Option<usize> {
        parameters.clear();
        match self.whole.get(path) {
            Some(&leaf) if accepts(leaf) => Some(leaf),
            _ => self.descend(0, path, 1, parameters, accepts),
        }
    }

    fn descend(
        &self,
        at: usize,
        path: &str,
        start: usize,
        parameters: &mut Vec<Range<u16>>,
        accepts: &impl Fn(usize) -> bool,
    ) -> Option<usize> {
        let node = &self.nodes[at];
        if start > path.len() {
            return node.leaf.filter(|leaf| accepts(*leaf));
        }
        let segment = segment_at(path, start);
        let end = start + segment.len();
        if let Some(&child) = literal(node, segment)
            && let Some(leaf) = self.descend(child, path, end + 1, parameters, accepts)
        {
            return Some(leaf);
        }
        let kept = parameters.len();
        if let Some(child) = node.parameter.filter(|_| !segment.is_empty()) {
            parameters.push(start as u16..end as u16);
            if let Some(leaf) = self.descend(child, path, end + 1, parameters, accepts) {
                return Some(leaf);
            }
            parameters.truncate(kept);
        }
        let rest = node.rest.filter(|leaf| accepts(*leaf));
        if rest.is_some() {
            parameters.push(start as u16..path.len() as u16);
        }
        rest
    }

    /// The scope that answers a path without a leaf: that of its longest prefix.
    pub(super) fn scope(&self, path: &str) -> Option<usize> {
        let (mut at, mut start, mut scope) = (0, 1, self.nodes[0].scope);
        while start <= path.len() {
            let segment = segment_at(path, start);
            let Some(child) = literal(&self.nodes[at], segment).copied().or(self.nodes[at].parameter) else {
                break;
            };
            at = child;
            start += segment.len() + 1;
            scope = self.nodes[at].scope.or(scope);
        }
        scope
    }
}

fn literal<'n>(node: &'n TreeNode, segment: &str) -> Option<&'n usize> {
    if node.literals.is_empty() {
        return None;
    }
    node.literals.get(&*decoded(segment))
}

/// The segment that begins at `start`.
fn segment_at(path: &str, start: usize) -> &str {
    let rest = &path[start..];
    &rest[..memchr::memchr(b'/', rest.as_bytes()).unwrap_or(rest.len())]
}

/// A segment, decoded; one that is not UTF-8 becomes a text that no pattern has.
pub(super) fn decoded(segment: &str) -> Cow<'_, str> {
    if memchr::memchr(b'%', segment.as_bytes()).is_none() {
        return Cow::Borrowed(segment);
    }
    percent_decode_str(segment).decode_utf8().unwrap_or(Cow::Borrowed("\0"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(patterns: &[&str]) -> Tree {
        let mut tree = Tree::new();
        for (index, pattern) in patterns.iter().enumerate() {
            assert_eq!(tree.leaf_or_insert(&Pattern::parse(pattern).unwrap(), index), index, "{pattern}");
        }
        tree
    }

    fn found<'a>(tree: &Tree, path: &'a str) -> Option<(usize, Vec<&'a str>)> {
        let mut parameters = Vec::new();
        let leaf = tree.find(path, &mut parameters, &|_| true)?;
        Some((leaf, parameters.iter().map(|p| &path[usize::from(p.start)..usize::from(p.end)]).collect()))
    }

    #[test]
    fn the_most_specific_from_the_left_wins() {
        let tree = tree(&["/", "/a/{x}/c", "/a/b", "/{y}/b", "/{*rest}", "/a/{x}/{*rest}", "/s/{*rest}"]);
        for (path, leaf, parameters) in [
            ("/", 0, &[][..]),
            ("/a/b/c", 1, &["b"]),
            ("/a/b", 2, &[]),
            ("/z/b", 3, &["z"]),
            ("/z/c", 4, &["z/c"]),
            ("/a/x/d/e", 5, &["x", "d/e"]),
            ("/a/x/", 5, &["x", ""]),
            ("/a/b/", 5, &["b", ""]),
            ("/a/", 4, &["a/"]),
            ("/s/", 6, &[""]),
            ("/s", 4, &["s"]),
        ] {
            assert_eq!(found(&tree, path), Some((leaf, parameters.to_vec())), "{path}");
        }
    }

    #[test]
    fn spelling_does_not_matter() {
        let tree = tree(&["/admin", "/caf\u{e9}/{x}"]);
        assert_eq!(found(&tree, "/%61dmin"), Some((0, vec![])));
        assert_eq!(found(&tree, "/caf%C3%A9/a%2Fb"), Some((1, vec!["a%2Fb"])));
        assert_eq!(found(&tree, "/admi%"), None);
        assert_eq!(found(&tree, "/%ff"), None);
        assert_eq!(found(&tree, "/Admin"), None);
    }

    #[test]
    fn the_next_pattern_is_tried_where_one_is_not_accepted() {
        let tree = tree(&["/a/b", "/a/{x}", "/{y}/b", "/a/{*rest}", "/{*rest}"]);
        let mut found = Vec::new();
        for refused in 0..5 {
            let mut parameters = Vec::new();
            found.push((tree.find("/a/b", &mut parameters, &|leaf| leaf >= refused), parameters.len()));
        }
        assert_eq!(found, [(Some(0), 0), (Some(1), 1), (Some(3), 1), (Some(3), 1), (Some(4), 1)]);
    }

    #[test]
    fn equal_shapes_are_one_leaf() {
        let mut tree = tree(&["/u/{id}"]);
        assert_eq!(tree.leaf_or_insert(&Pattern::parse("/u/{name}").unwrap(), 7), 0);
        assert_eq!(tree.leaf_or_insert(&Pattern::parse("/u/{*name}").unwrap(), 7), 7);
    }

    #[test]
    fn misses_belong_to_the_longest_prefix() {
        let mut tree = tree(&["/api/x"]);
        tree.set_scope(&Pattern::default(), 0);
        tree.set_scope(&Pattern::parse_prefix("/api").unwrap(), 1);
        tree.set_scope(&Pattern::parse_prefix("/api/{v}/deep").unwrap(), 2);
        for (path, scope) in [("/", 0), ("/apix", 0), ("/api", 1), ("/api/y", 1), ("/api/7/deep/y", 2)] {
            assert_eq!(tree.scope(path), Some(scope), "{path}");
        }
    }

    #[test]
    fn the_longest_paths_are_searched() {
        let tree = tree(&["/{a}/{b}/x", "/{*rest}"]);
        let path = format!("/{}", "a/".repeat(4000));
        assert_eq!(found(&tree, &path).unwrap().0, 1);
    }
}
