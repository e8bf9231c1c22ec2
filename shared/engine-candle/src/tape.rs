//! Reverse-mode differentiation over candle tensors.
//!
//! Candle's own gradients compute both sides of every product, keep those of frozen weights, and are cut silently by some
//! operations. Here an operation that an engine offers records exactly the gradients that somebody asked for, or it
//! records nothing. Saved activations belong to the recorded closure and are freed as soon as it has run.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{DType, Device, Tensor as Value};
use mudi_diffusion::{Error, Result};

use crate::kernels::pointwise;
use crate::slices::{Slice, value};

static NEXT: AtomicU64 = AtomicU64::new(0);

/// What an operation does with the gradient of its result: the gradient of each input, or none where none is needed.
type Backward = Box<dyn FnOnce(&Value) -> Result<Vec<Option<Value>>> + Send>;

struct Operation {
    inputs: Vec<Option<Arc<Node>>>,
    backward: Mutex<Option<Backward>>,
}

/// What a gradient flows to.
enum Origin {
    /// A leaf that lives there.
    Leaf(Device),
    Operation(Operation),
}

/// A result that gradients flow through. Ids grow with time, so a larger id never feeds a smaller one.
struct Node {
    id: u64,
    origin: Origin,
}

impl Node {
    fn new(origin: Origin) -> Arc<Self> {
        Arc::new(Self { id: NEXT.fetch_add(1, Ordering::Relaxed), origin })
    }
}

/// The place for a copy of a value where an engine computes.
pub(crate) type Copied = Mutex<Option<Value>>;

/// Names a leaf whose gradient can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LeafId(u64);

/// A value, and where it came from if a gradient is wanted through it.
#[derive(Clone)]
pub struct Tensor {
    value: Value,
    node: Option<Arc<Node>>,
    /// Of what is there from the start: results of operations are used once.
    copied: Option<Arc<Copied>>,
}

impl std::fmt::Debug for Tensor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tensor")
            .field("shape", self.value.shape())
            .field("tracked", &self.node.is_some())
            .finish()
    }
}

impl Tensor {
    /// A constant: no gradient is ever computed for it.
    #[must_use]
    pub fn constant(value: Value) -> Self {
        Self { value, node: None, copied: Some(Arc::default()) }
    }

    /// A leaf: its gradient is in the result of [`backward`], where the leaf is. Who changes its values in place says so with
    /// [`changed`](Self::changed).
    #[must_use]
    pub fn leaf(value: Value) -> Self {
        let node = Node::new(Origin::Leaf(value.device().clone()));
        Self { value, node: Some(node), copied: Some(Arc::default()) }
    }

    /// The result of an operation on `inputs`. `backward` is kept only where one of them is tracked.
    pub(crate) fn recorded<F>(value: Value, inputs: &[&Self], backward: F) -> Self
    where
        F: FnOnce(&Value) -> Result<Vec<Option<Value>>> + Send + 'static,
    {
        if inputs.iter().all(|input| input.node.is_none()) {
            return Self { value, node: None, copied: None };
        }
        let inputs = inputs.iter().map(|input| input.node.clone()).collect();
        let operation = Operation { inputs, backward: Mutex::new(Some(Box::new(backward))) };
        Self { value, node: Some(Node::new(Origin::Operation(operation))), copied: None }
    }

    /// The value.
    #[must_use]
    pub fn value(&self) -> &Value {
        &self.value
    }

    /// Whether a gradient flows through it.
    #[must_use]
    pub fn is_tracked(&self) -> bool {
        self.node.is_some()
    }

    /// The name of its gradient, for a leaf.
    #[must_use]
    pub fn leaf_id(&self) -> Option<LeafId> {
        self.node.as_ref().filter(|node| matches!(node.origin, Origin::Leaf(_))).map(|node| LeafId(node.id))
    }

    /// The value alone, as a constant.
    #[must_use]
    pub fn detached(&self) -> Self {
        Self { value: self.value.clone(), node: None, copied: None }
    }

    /// Says that its values have been changed in place: copies of them elsewhere are made anew.
    pub fn changed(&self) {
        if let Some(copied) = &self.copied {
            copied.lock().unwrap_or_else(PoisonError::into_inner).take();
        }
    }

    /// Where an engine that computes elsewhere, or in another type, keeps its copy of the value.
    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) fn copied(&self) -> Option<&Copied> {
        self.copied.as_deref()
    }
}

/// Gradients of leaves.
#[derive(Default)]
pub struct Gradients(HashMap<LeafId, Value>);

impl Gradients {
    /// Takes the gradient of a leaf out; none where the result does not depend on it.
    pub fn take(&mut self, leaf: &Tensor) -> Option<Value> {
        self.0.remove(&leaf.leaf_id()?)
    }

    /// The gradient of a leaf; none where the result does not depend on it.
    #[must_use]
    pub fn get(&self, leaf: &Tensor) -> Option<&Value> {
        self.0.get(&leaf.leaf_id()?)
    }

    /// Adds another pass's gradients to these.
    ///
    /// # Errors
    /// Engine errors.
    pub fn accumulate(&mut self, other: Self) -> Result<()> {
        for (leaf, gradient) in other.0 {
            add_to(&mut self.0, leaf, gradient)?;
        }
        Ok(())
    }

    /// How many leaves have a gradient.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether no leaf has a gradient.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The sum of two gradients; on the CPU with the engine's own threads, since candle's would compete with them.
fn sum(a: &Value, b: &Value) -> Result<Value> {
    if a.device().is_cpu() && a.dtype() == DType::F32 && a.is_contiguous() && b.is_contiguous() {
        return value(pointwise::add(&Slice::of(a)?, &Slice::of(b)?), a.dims());
    }
    (a + b).map_err(Error::engine)
}

fn add_to(all: &mut HashMap<LeafId, Value>, leaf: LeafId, gradient: Value) -> Result<()> {
    let sum = match all.remove(&leaf) {
        Some(earlier) => sum(&earlier, &gradient)?,
        None => gradient,
    };
    all.insert(leaf, sum);
    Ok(())
}

/// Gradients of `sum(output * seed)` over all pairs, with respect to every leaf that the outputs depend on.
///
/// Each recorded operation runs once and is freed; a second call through the same operations is an error.
///
/// # Errors
/// Engine errors; a seed whose shape is not that of its output; a graph that has been walked before.
pub fn backward(outputs: &[(&Tensor, Value)]) -> Result<Gradients> {
    let mut pending: BTreeMap<u64, (Arc<Node>, Value)> = BTreeMap::new();
    let mut leaves = HashMap::new();
    let mut away = HashMap::new();
    let mut push = |pending: &mut BTreeMap<u64, (Arc<Node>, Value)>, node: Arc<Node>, gradient: Value| {
        if let Origin::Leaf(home) = &node.origin {
            if !gradient.device().same_device(home) {
                away.insert(LeafId(node.id), home.clone());
            }
            return add_to(&mut leaves, LeafId(node.id), gradient);
        }
        let sum = match pending.remove(&node.id) {
            Some((_, earlier)) => sum(&earlier, &gradient)?,
            None => gradient,
        };
        pending.insert(node.id, (node, sum));
        Ok(())
    };
    for (output, seed) in outputs {
        if output.value.dims() != seed.dims() {
            let reason = format!("shape {:?} for a result of shape {:?}", seed.dims(), output.value.dims());
            return Err(Error::Input { name: "seed", reason });
        }
        if let Some(node) = &output.node {
            push(&mut pending, node.clone(), seed.clone())?;
        }
    }
    while let Some((_, (node, gradient))) = pending.pop_last() {
        let Origin::Operation(operation) = &node.origin else { continue };
        let taken = operation.backward.lock().unwrap_or_else(PoisonError::into_inner).take();
        let backward = taken.ok_or_else(|| Error::Input {
            name: "backward",
            reason: "this graph has been walked already".to_owned(),
        })?;
        let gradients = backward(&gradient)?;
        drop(gradient);
        for (input, gradient) in operation.inputs.iter().zip(gradients) {
            if let (Some(input), Some(gradient)) = (input, gradient) {
                push(&mut pending, input.clone(), gradient)?;
            }
        }
    }
    // Not before: whoever reads from a graphics card waits until it has done all that it was told.
    for (leaf, home) in away {
        if let Some(gradient) = leaves.get_mut(&leaf) {
            *gradient = gradient.to_device(&home).map_err(Error::engine)?;
        }
    }
    Ok(Gradients(leaves))
}
