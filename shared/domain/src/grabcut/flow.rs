//! The cheapest cut of a grid of pixels, by the maximum flow through it.
//!
//! Boykov and Kolmogorov, *An Experimental Comparison of Min-Cut/Max-Flow Algorithms for Energy Minimization in Vision*
//! (2004): a tree grows from either terminal; where they touch, flow is pushed along the path, and branches that it has
//! cut off look for a new parent.

use std::collections::VecDeque;

/// Steps to the eight neighbours, down and to the right; `REVERSE` has the way back.
const STEPS: [(isize, isize); 8] = [(0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1), (-1, 0), (-1, 1)];

fn reverse(step: usize) -> usize {
    (step + 4) % 8
}

/// A photo's pixels and how much it costs to cut between neighbours.
pub(super) struct Grid {
    size: [usize; 2],
    /// For each pixel, to each neighbour; 0 where there is none.
    edges: Vec<[f32; 8]>,
}

/// Where a branch comes from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Parent {
    None,
    Terminal,
    Step(u8),
}

/// Which tree a pixel belongs to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tree {
    None,
    Source,
    Sink,
}

impl Grid {
    /// Neighbours of like colours hold together, with up to `smoothness`; how alike is told by the photo's own contrast.
    pub(super) fn new(pixels: &[[f32; 3]], size: [usize; 2], smoothness: f32) -> Self {
        let mut grid = Self { size, edges: vec![[0.0; 8]; pixels.len()] };
        let difference = |a: usize, b: usize| -> f32 {
            pixels[a].iter().zip(&pixels[b]).map(|(a, b)| (a - b) * (a - b)).sum()
        };
        let (mut sum, mut count) = (0f64, 0u32);
        for at in 0..pixels.len() {
            for neighbour in (0..4).filter_map(|step| grid.neighbour(at, step)) {
                sum += f64::from(difference(at, neighbour));
                count += 1;
            }
        }
        let beta = if sum > 0.0 { (f64::from(count) / (2.0 * sum)) as f32 } else { 0.0 };
        for at in 0..pixels.len() {
            for step in 0..8 {
                if let Some(neighbour) = grid.neighbour(at, step) {
                    let length = if step % 2 == 0 { 1.0 } else { std::f32::consts::SQRT_2 };
                    grid.edges[at][step] = smoothness / length * (-beta * difference(at, neighbour)).exp();
                }
            }
        }
        grid
    }

    fn neighbour(&self, at: usize, step: usize) -> Option<usize> {
        let (down, right) = STEPS[step];
        let y = (at / self.size[1]).checked_add_signed(down).filter(|&y| y < self.size[0])?;
        let x = (at % self.size[1]).checked_add_signed(right).filter(|&x| x < self.size[1])?;
        Some(y * self.size[1] + x)
    }

    /// Which pixels lie on the source's side of the cheapest cut, where `costs` says how much more it costs a pixel to lie
    /// on the other side (less, where it is negative).
    pub(super) fn cut(&self, costs: &[f32]) -> Vec<bool> {
        let mut flow = Flow {
            grid: self,
            left: self.edges.clone(),
            terminals: costs.to_vec(),
            trees: vec![Tree::None; costs.len()],
            parents: vec![Parent::None; costs.len()],
            active: VecDeque::new(),
            orphans: VecDeque::new(),
        };
        flow.run();
        flow.trees.iter().map(|&tree| tree == Tree::Source).collect()
    }
}

/// A flow through a grid.
struct Flow<'a> {
    grid: &'a Grid,
    /// What each edge can still carry.
    left: Vec<[f32; 8]>,
    /// What can still come from the source, or, where it is negative, go to the sink.
    terminals: Vec<f32>,
    trees: Vec<Tree>,
    parents: Vec<Parent>,
    active: VecDeque<usize>,
    orphans: VecDeque<usize>,
}

impl Flow<'_> {
    fn run(&mut self) {
        for at in 0..self.terminals.len() {
            let terminal = self.terminals[at];
            if terminal != 0.0 {
                self.trees[at] = if terminal > 0.0 { Tree::Source } else { Tree::Sink };
                self.parents[at] = Parent::Terminal;
                self.active.push_back(at);
            }
        }
        while let Some(&at) = self.active.front() {
            match self.grow(at) {
                Some((from, step)) => {
                    self.push(from, step);
                    self.adopt();
                }
                None => {
                    self.active.pop_front();
                }
            }
        }
    }

    /// What can flow from a pixel of `tree` towards its child over `step`: from the pixel in the source's tree, to it in the
    /// sink's.
    fn carries(&self, tree: Tree, at: usize, step: usize, neighbour: usize) -> bool {
        let left =
            if tree == Tree::Source { self.left[at][step] } else { self.left[neighbour][reverse(step)] };
        left > 0.0
    }

    /// Lets the tree grow around `at`; where it touches the other one, the edge from source to sink: a pixel and a step.
    fn grow(&mut self, at: usize) -> Option<(usize, usize)> {
        let tree = self.trees[at];
        if tree == Tree::None {
            return None;
        }
        for step in 0..8 {
            let Some(neighbour) = self.grid.neighbour(at, step) else { continue };
            if !self.carries(tree, at, step, neighbour) {
                continue;
            }
            match self.trees[neighbour] {
                Tree::None => {
                    self.trees[neighbour] = tree;
                    self.parents[neighbour] = Parent::Step(reverse(step) as u8);
                    self.active.push_back(neighbour);
                }
                other if other != tree => {
                    return Some(match tree {
                        Tree::Source => (at, step),
                        _ => (neighbour, reverse(step)),
                    });
                }
                _ => {}
            }
        }
        None
    }

    /// The pixels from `at` to its root, with the step from each to its parent.
    fn path(&self, mut at: usize) -> (Vec<(usize, usize, usize)>, usize) {
        let mut path = Vec::new();
        while let Parent::Step(step) = self.parents[at] {
            let Some(parent) = self.grid.neighbour(at, usize::from(step)) else { break };
            path.push((at, usize::from(step), parent));
            at = parent;
        }
        (path, at)
    }

    /// Pushes as much as it carries along the path over the edge `step` of `from`.
    fn push(&mut self, from: usize, step: usize) {
        let Some(to) = self.grid.neighbour(from, step) else { return };
        let ((up, source), (down, sink)) = (self.path(from), self.path(to));
        let mut most = self.left[from][step].min(self.terminals[source]).min(-self.terminals[sink]);
        for &(_, step, parent) in &up {
            most = most.min(self.left[parent][reverse(step)]);
        }
        for &(at, step, _) in &down {
            most = most.min(self.left[at][step]);
        }
        self.left[from][step] -= most;
        self.left[to][reverse(step)] += most;
        for (at, step, parent) in up {
            self.left[at][step] += most;
            self.left[parent][reverse(step)] -= most;
            if self.left[parent][reverse(step)] <= 0.0 {
                self.orphan(at);
            }
        }
        for (at, step, parent) in down {
            self.left[at][step] -= most;
            self.left[parent][reverse(step)] += most;
            if self.left[at][step] <= 0.0 {
                self.orphan(at);
            }
        }
        self.terminals[source] -= most;
        self.terminals[sink] += most;
        for root in [source, sink] {
            if self.terminals[root] == 0.0 {
                self.orphan(root);
            }
        }
    }

    fn orphan(&mut self, at: usize) {
        self.parents[at] = Parent::None;
        self.orphans.push_back(at);
    }

    /// Finds new parents for orphans; one that finds none leaves its tree, and its children become orphans.
    fn adopt(&mut self) {
        while let Some(at) = self.orphans.pop_front() {
            let tree = self.trees[at];
            let mut best: Option<(usize, usize)> = None;
            for step in 0..8 {
                let Some(neighbour) = self.grid.neighbour(at, step) else { continue };
                if self.trees[neighbour] == tree
                    && self.carries(tree, neighbour, reverse(step), at)
                    && let Some(distance) = self.distance(neighbour)
                    && best.is_none_or(|(least, _)| distance < least)
                {
                    best = Some((distance, step));
                }
            }
            if let Some((_, step)) = best {
                self.parents[at] = Parent::Step(step as u8);
                continue;
            }
            for step in 0..8 {
                let Some(neighbour) = self.grid.neighbour(at, step) else { continue };
                if self.trees[neighbour] != tree {
                    continue;
                }
                if self.carries(tree, neighbour, reverse(step), at) {
                    self.active.push_back(neighbour);
                }
                if self.parents[neighbour] == Parent::Step(reverse(step) as u8) {
                    self.orphan(neighbour);
                }
            }
            self.trees[at] = Tree::None;
        }
    }

    /// Steps from `at` to its terminal; none where its branch has been cut off.
    fn distance(&self, mut at: usize) -> Option<usize> {
        for distance in 0..=self.terminals.len() {
            match self.parents[at] {
                Parent::Terminal => return Some(distance),
                Parent::None => return None,
                Parent::Step(step) => at = self.grid.neighbour(at, usize::from(step))?,
            }
        }
        None
    }
}
