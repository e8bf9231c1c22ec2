//! An engine that computes nothing and counts memory: the networks run on it as on the real one.
//!
//! Every operation notes what [`CandleEngine`](mudi_engine_candle::CandleEngine) allocates on the CPU for its result, what it
//! keeps for its gradient, and what it needs meanwhile; whatever is dropped is given back.

mod operations;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use mudi_diffusion::{ParameterKind, Parameters, Result};

/// Bytes of a value.
pub(super) const F32: usize = 4;

/// Bytes held now, and the most that were.
#[derive(Debug, Default)]
struct Ledger {
    live: usize,
    peak: usize,
    /// The largest result.
    largest: usize,
    nodes: u64,
}

/// Memory that is given back when the last that holds it is dropped.
struct Held {
    bytes: usize,
    ledger: Rc<RefCell<Ledger>>,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.ledger.borrow_mut().live -= self.bytes;
    }
}

/// What an operation does in the backward pass.
struct Operation {
    inputs: Vec<Option<Rc<Node>>>,
    /// Kept until then.
    saved: RefCell<Vec<Rc<Held>>>,
    /// Needed meanwhile, in bytes.
    scratch: usize,
    /// Whether inputs get the result's gradient itself.
    passes_on: bool,
}

struct Node {
    id: u64,
    bytes: usize,
    operation: Option<Operation>,
}

/// A shape, the memory behind it, and where it came from if a gradient is wanted through it.
#[derive(Clone)]
pub(super) struct Counted {
    shape: Vec<usize>,
    held: Option<Rc<Held>>,
    node: Option<Rc<Node>>,
}

impl Counted {
    fn elements(&self) -> usize {
        self.shape.iter().product()
    }

    fn bytes(&self) -> usize {
        F32 * self.elements()
    }

    fn last(&self) -> usize {
        self.shape.last().copied().unwrap_or(1)
    }

    fn with_last(&self, width: usize) -> Vec<usize> {
        let mut shape = self.shape.clone();
        if let Some(last) = shape.last_mut() {
            *last = width;
        }
        shape
    }

    pub(super) fn tracked(&self) -> bool {
        self.node.is_some()
    }
}

/// The engine; its counts are shared by its clones.
#[derive(Clone)]
pub(super) struct CountingEngine {
    ledger: Rc<RefCell<Ledger>>,
    threads: usize,
    /// Whether frozen weights are held in two bytes.
    half: bool,
    /// Whether operations need memory besides their results; a GPU's kernels do not.
    scratch: bool,
}

/// What an operation does besides making its result.
#[derive(Default)]
struct Cost<'a> {
    saved: Vec<&'a Counted>,
    /// Bytes needed while the result is made.
    forward: usize,
    /// Bytes needed while gradients are made, which are themselves counted.
    backward: usize,
    passes_on: bool,
}

impl CountingEngine {
    pub(super) fn new(half: bool) -> Self {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        Self { ledger: Rc::default(), threads, half, scratch: true }
    }

    /// One that counts what a GPU holds.
    pub(super) fn of_gpu() -> Self {
        Self { scratch: false, ..Self::new(false) }
    }

    /// The most bytes held at once so far.
    pub(super) fn peak(&self) -> usize {
        self.ledger.borrow().peak
    }

    /// Bytes of the largest result so far.
    pub(super) fn largest(&self) -> usize {
        self.ledger.borrow().largest
    }

    fn hold(&self, bytes: usize) -> Rc<Held> {
        let mut ledger = self.ledger.borrow_mut();
        ledger.live += bytes;
        ledger.peak = ledger.peak.max(ledger.live);
        Rc::new(Held { bytes, ledger: self.ledger.clone() })
    }

    fn node(&self, bytes: usize, operation: Option<Operation>) -> Rc<Node> {
        let mut ledger = self.ledger.borrow_mut();
        ledger.nodes += 1;
        Rc::new(Node { id: ledger.nodes, bytes, operation })
    }

    /// A weight; its memory is counted elsewhere.
    pub(super) fn weight(&self, shape: &[usize], learns: bool) -> Counted {
        let bytes = F32 * shape.iter().product::<usize>();
        Counted { shape: shape.to_vec(), held: None, node: learns.then(|| self.node(bytes, None)) }
    }

    /// A tensor that stays.
    pub(super) fn constant(&self, shape: &[usize]) -> Counted {
        let bytes = F32 * shape.iter().product::<usize>();
        Counted { shape: shape.to_vec(), held: Some(self.hold(bytes)), node: None }
    }

    /// The same memory as a leaf whose gradient is wanted, as a checkpointed stage starts from.
    pub(super) fn leaf(&self, x: &Counted) -> Counted {
        Counted { node: Some(self.node(x.bytes(), None)), ..x.clone() }
    }

    pub(super) fn detached(x: &Counted) -> Counted {
        Counted { node: None, ..x.clone() }
    }

    fn result(&self, shape: Vec<usize>, inputs: &[&Counted], cost: &Cost<'_>) -> Counted {
        let bytes = F32 * shape.iter().product::<usize>();
        let mut ledger = self.ledger.borrow_mut();
        ledger.largest = ledger.largest.max(bytes);
        drop(ledger);
        let scratch = self.hold(if self.scratch { cost.forward } else { 0 });
        let held = self.hold(bytes);
        drop(scratch);
        Counted { shape, held: Some(held), node: self.link(bytes, inputs, cost) }
    }

    /// The record of an operation, where a gradient is wanted through it.
    fn link(&self, bytes: usize, inputs: &[&Counted], cost: &Cost<'_>) -> Option<Rc<Node>> {
        inputs.iter().any(|input| input.tracked()).then(|| {
            let operation = Operation {
                inputs: inputs.iter().map(|input| input.node.clone()).collect(),
                saved: RefCell::new(cost.saved.iter().filter_map(|saved| saved.held.clone()).collect()),
                scratch: cost.backward,
                passes_on: cost.passes_on,
            };
            self.node(bytes, Some(operation))
        })
    }

    /// Walks back from `outputs`; returns the gradients of leaves, which stay held.
    pub(super) fn backward(&self, outputs: &[(&Counted, Gradient)]) -> BTreeMap<u64, Gradient> {
        let mut leaves: BTreeMap<u64, Gradient> = BTreeMap::new();
        let mut pending: BTreeMap<u64, (Rc<Node>, Gradient)> = BTreeMap::new();
        let mut push =
            |pending: &mut BTreeMap<u64, (Rc<Node>, Gradient)>, node: Rc<Node>, gradient: Gradient| {
                let earlier = if node.operation.is_none() {
                    leaves.remove(&node.id)
                } else {
                    pending.remove(&node.id).map(|(_, gradient)| gradient)
                };
                let sum = match earlier {
                    Some(_) => Gradient(self.hold(node.bytes)),
                    None => gradient,
                };
                if node.operation.is_none() {
                    leaves.insert(node.id, sum);
                } else {
                    pending.insert(node.id, (node, sum));
                }
            };
        for (output, gradient) in outputs {
            if let Some(node) = &output.node {
                push(&mut pending, node.clone(), gradient.clone());
            }
        }
        while let Some((_, (node, gradient))) = pending.pop_last() {
            let Some(operation) = &node.operation else { continue };
            let saved = operation.saved.take();
            let scratch = self.hold(operation.scratch);
            let gradients: Vec<Option<Gradient>> = operation
                .inputs
                .iter()
                .map(|input| {
                    let input = input.as_ref()?;
                    let own = || Gradient(self.hold(input.bytes));
                    Some(if operation.passes_on && input.bytes == node.bytes {
                        gradient.clone()
                    } else {
                        own()
                    })
                })
                .collect();
            drop((saved, scratch, gradient));
            for (input, gradient) in operation.inputs.iter().zip(gradients) {
                if let (Some(input), Some(gradient)) = (input, gradient) {
                    push(&mut pending, input.clone(), gradient);
                }
            }
        }
        leaves
    }

    /// The gradient that a backward pass starts from.
    pub(super) fn seed(&self, output: &Counted) -> Gradient {
        Gradient(self.hold(output.bytes()))
    }

    /// The leaf's gradient, out of those of a backward pass.
    pub(super) fn take(gradients: &mut BTreeMap<u64, Gradient>, leaf: &Counted) -> Option<Gradient> {
        gradients.remove(&leaf.node.as_ref()?.id)
    }
}

/// A gradient's memory.
#[derive(Clone)]
pub(super) struct Gradient(#[allow(dead_code)] Rc<Held>); // Held for its drop.

impl Parameters<CountingEngine> for CountingEngine {
    fn get(&mut self, _: &str, shape: &[usize], _: ParameterKind) -> Result<Counted> {
        Ok(self.weight(shape, false))
    }

    fn contains(&self, name: &str) -> bool {
        // The names that diffusers writes today.
        !name.contains("query.weight")
    }
}
