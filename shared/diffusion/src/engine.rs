//! The operations that networks are made of, at the level of layers.
//!
//! A network in this crate is written once, against [`Engine`]. The operations are large enough (a whole convolution, a
//! whole attention) for each engine to fuse what it can.
//!
//! **Layout.** Images and feature maps are `[batch, height, width, channels]` ("channels last"): an image is then also
//! a sequence of `height * width` tokens, so that convolutions, attention and linear layers share one layout and nothing
//! is ever transposed. Diffusers' `[batch, channels, height, width]` is converted where tensors enter and leave.

use crate::error::Result;

/// Pointwise non-linearities.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// `x * sigmoid(x)`.
    Silu,
    /// `x * Phi(x)` with the error function (not the tanh approximation).
    Gelu,
    /// `x * sigmoid(1.702 x)`, of OpenAI's CLIP.
    QuickGelu,
    /// `max(x, 0)`; its derivative at 0 is 0.
    Relu,
    /// `x` where it is positive, otherwise `e^x - 1`.
    Elu,
}

/// What [`Engine::biased_attention`] adds to its scaled scores.
#[derive(Debug)]
pub enum ScoreBias<'a, T: ?Sized> {
    /// `[heads, T, S]`, the same for all samples, or `[batch * heads, T, S]`. Finite values.
    Full(&'a T),
    /// For self-attention over the positions of a grid: the sum of a part for the distance in rows and one for that in
    /// columns, as SAM decomposes relative positions. Query `(y, x)` and key `(y', x')` of a head get
    /// `rows[.., y - y' + height - 1] + columns[.., x - x' + width - 1]`.
    Relative {
        /// Height and width of the grid, `T = S = height * width`.
        grid: [usize; 2],
        /// `[batch, T, heads * (2 height - 1)]`.
        rows: &'a T,
        /// `[batch, T, heads * (2 width - 1)]`.
        columns: &'a T,
    },
}

// Derived, these would ask the same of tensors.
impl<T: ?Sized> Clone for ScoreBias<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T: ?Sized> Copy for ScoreBias<'_, T> {}

/// How a convolution walks over its input; lengths in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvGeometry {
    /// Step in both directions, at least 1.
    pub stride: usize,
    /// Zero padding before (top and left).
    pub before: usize,
    /// Zero padding after (bottom and right).
    pub after: usize,
}

impl ConvGeometry {
    /// Stride 1 and the padding that keeps the size for an odd `kernel` size.
    #[must_use]
    pub const fn same(kernel: usize) -> Self {
        Self { stride: 1, before: kernel / 2, after: kernel / 2 }
    }

    /// Output length for an input of `length` pixels and a kernel of `kernel` pixels; 0 where the kernel does not fit.
    #[must_use]
    pub const fn output(&self, length: usize, kernel: usize) -> usize {
        let padded = length + self.before + self.after;
        if padded < kernel { 0 } else { (padded - kernel) / self.stride + 1 }
    }
}

/// Tensor operations that an engine (candle on CPU, CUDA and Metal; wgpu) provides.
///
/// All values are real numbers; the engine chooses their precision. Shapes that do not fit are errors, never panics.
pub trait Engine {
    /// A tensor on the engine's device; cloning shares the values.
    type Tensor: Clone;

    /// A tensor of `shape` from values in row-major order.
    #[allow(clippy::wrong_self_convention)] // The engine, not a tensor, is the receiver.
    fn from_slice(&self, values: &[f32], shape: &[usize]) -> Result<Self::Tensor>;
    /// The values in row-major order.
    fn to_vec(&self, x: &Self::Tensor) -> Result<Vec<f32>>;
    /// The shape.
    fn shape(&self, x: &Self::Tensor) -> Vec<usize>;
    /// The same values under another shape.
    fn reshape(&self, x: &Self::Tensor, shape: &[usize]) -> Result<Self::Tensor>;

    /// `x [.., I]` times `weight [O, I]` transposed, plus `bias [O]`: `[.., O]`.
    fn linear(
        &self,
        x: &Self::Tensor,
        weight: &Self::Tensor,
        bias: Option<&Self::Tensor>,
    ) -> Result<Self::Tensor>;
    /// Two-dimensional convolution of `x [B, H, W, I]` with `weight [O, kh, kw, I]`, plus `bias [O]`.
    fn conv2d(
        &self,
        x: &Self::Tensor,
        weight: &Self::Tensor,
        bias: Option<&Self::Tensor>,
        geometry: ConvGeometry,
    ) -> Result<Self::Tensor>;
    /// Convolution of each channel of `x [B, H, W, C]` by itself, with `weight [C, kh, kw, 1]`, plus `bias [C]`.
    fn depthwise_conv2d(
        &self,
        x: &Self::Tensor,
        weight: &Self::Tensor,
        bias: Option<&Self::Tensor>,
        geometry: ConvGeometry,
    ) -> Result<Self::Tensor>;
    /// Group normalization of `x [B, .., C]` over all but the first axis within each of `groups` groups of channels, then
    /// scale, shift and, where asked, an activation.
    fn group_norm(
        &self,
        x: &Self::Tensor,
        weight: &Self::Tensor,
        bias: &Self::Tensor,
        groups: usize,
        eps: f32,
        activation: Option<Activation>,
    ) -> Result<Self::Tensor>;
    /// Layer normalization over the last axis, then scale and shift.
    fn layer_norm(
        &self,
        x: &Self::Tensor,
        weight: &Self::Tensor,
        bias: &Self::Tensor,
        eps: f32,
    ) -> Result<Self::Tensor>;
    /// Multi-head attention of `q [B, T, C]` over `k, v [B, S, C]`, scaled by `1 / sqrt(C / heads)`; heads are contiguous
    /// runs of channels. `causal` hides later positions.
    fn attention(
        &self,
        q: &Self::Tensor,
        k: &Self::Tensor,
        v: &Self::Tensor,
        heads: usize,
        causal: bool,
    ) -> Result<Self::Tensor>;
    /// [`attention`](Self::attention) with `bias` added to the scaled scores, without a causal mask.
    fn biased_attention(
        &self,
        q: &Self::Tensor,
        k: &Self::Tensor,
        v: &Self::Tensor,
        heads: usize,
        bias: ScoreBias<'_, Self::Tensor>,
    ) -> Result<Self::Tensor>;
    /// A pointwise non-linearity.
    fn activation(&self, x: &Self::Tensor, kind: Activation) -> Result<Self::Tensor>;
    /// `x [.., 2 C]` split in halves `a`, `b`: `a * gelu(b)`, with the exact (erf) GELU.
    fn geglu(&self, x: &Self::Tensor) -> Result<Self::Tensor>;
    /// Nearest-neighbour resampling of `x [B, H, W, C]` to `height` by `width`, at least as large as the input.
    fn upsample_nearest(&self, x: &Self::Tensor, height: usize, width: usize) -> Result<Self::Tensor>;
    /// The sum of two tensors of one shape.
    fn add(&self, a: &Self::Tensor, b: &Self::Tensor) -> Result<Self::Tensor>;
    /// `x [B, .., C]` plus `v [B, C]` at every position.
    fn add_per_sample(&self, x: &Self::Tensor, v: &Self::Tensor) -> Result<Self::Tensor>;
    /// `x [B, T, C]` plus the first `T` rows of `table [N, C]` (positions).
    fn add_positions(&self, x: &Self::Tensor, table: &Self::Tensor) -> Result<Self::Tensor>;
    /// Every value times `factor`.
    fn scale(&self, x: &Self::Tensor, factor: f32) -> Result<Self::Tensor>;
    /// `x` times `by`, which has the shape of `x` or of its last axes, and is repeated over the first.
    fn mul(&self, x: &Self::Tensor, by: &Self::Tensor) -> Result<Self::Tensor>;
    /// Concatenation along `axis`; the other axes are equal.
    fn concat(&self, a: &Self::Tensor, b: &Self::Tensor, axis: usize) -> Result<Self::Tensor>;
    /// Places `start..start + length` of `axis`.
    fn slice(&self, x: &Self::Tensor, axis: usize, start: usize, length: usize) -> Result<Self::Tensor>;
    /// The axes in another order: axis `i` of the result is axis `axes[i]` of `x`.
    fn permute(&self, x: &Self::Tensor, axes: &[usize]) -> Result<Self::Tensor>;
    /// Rows of `table [N, C]`, one for each of `ids`: `[batch, ids.len() / batch, C]`.
    fn embedding(&self, table: &Self::Tensor, ids: &[u32], batch: usize) -> Result<Self::Tensor>;
    /// Position `at[b]` of each sample of `x [B, T, C]`: `[B, C]`.
    fn select_positions(&self, x: &Self::Tensor, at: &[usize]) -> Result<Self::Tensor>;
}

/// An engine whose values can be waited for, as they must be where a program may not stand still.
pub trait Readable: Engine {
    /// The values in row-major order, once they have been computed.
    ///
    /// # Errors
    /// What the device reports.
    fn read(&self, x: &Self::Tensor) -> impl Future<Output = Result<Vec<f32>>>;
}

/// What a weight is; decides how it is stored, initialized and laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParameterKind {
    /// `[O, I]`; a file may also hold it as a 1x1 convolution `[O, I, 1, 1]`.
    Linear,
    /// `[O, kh, kw, I]` here, `[O, I, kh, kw]` in files.
    Convolution,
    /// Of a transposed convolution: `[kh, kw, O, I]` here, `[I, O, kh, kw]` in files.
    TransposedConvolution,
    /// `[O]`, of a linear layer or convolution with this many inputs to each output.
    Bias {
        /// Inputs that each output sums over.
        fan_in: usize,
    },
    /// Scale of a normalization, `[C]`.
    NormScale,
    /// Shift of a normalization, `[C]`.
    NormShift,
    /// A table of vectors, `[N, C]`, or other values that are as they are in the file.
    Embedding,
}

/// Where a network gets its weights from: a file, or an initializer.
pub trait Parameters<E: Engine> {
    /// The weight called `name` in diffusers' naming, in the engine's layout `shape`.
    ///
    /// # Errors
    /// [`Error::MissingTensor`](crate::Error::MissingTensor) or [`Error::TensorShape`](crate::Error::TensorShape).
    fn get(&mut self, name: &str, shape: &[usize], kind: ParameterKind) -> Result<E::Tensor>;
    /// The values of a weight that the CPU reads. Sources that hold values at hand give those, so that nothing has to wait
    /// for a device: a browser cannot.
    ///
    /// # Errors
    /// Those of [`get`](Self::get).
    fn values(&mut self, engine: &E, name: &str, shape: &[usize], kind: ParameterKind) -> Result<Vec<f32>> {
        engine.to_vec(&self.get(name, shape, kind)?)
    }
    /// Whether there is a weight of that name; an initializer says yes to what diffusers itself would write.
    fn contains(&self, name: &str) -> bool;
    /// Says that files of this network may hold a weight of that name, which it has no use for.
    fn pass_over(&mut self, _name: &str) {}
}
