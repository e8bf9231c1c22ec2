//! [`CandleEngine`]: the operations of [`Engine`] on candle tensors.

use candle_core::{DType, Device, Tensor as Value};
use mudi_diffusion::{Activation, ConvGeometry, Engine, Error, Readable, Result, ScoreBias, shapes};

#[cfg(not(target_arch = "wasm32"))]
use crate::cards::{self, Card};
#[cfg(not(target_arch = "wasm32"))]
use crate::composed;
use crate::cpu;
use crate::placement::Placement;
use crate::slices;
use crate::tape::Tensor;

/// The engine. Cheap to clone.
#[derive(Clone, Debug)]
pub struct CandleEngine {
    placement: Placement,
    path: Path,
}

/// How operations are computed.
#[derive(Clone, Copy, Debug)]
enum Path {
    /// By our own kernels, on the CPU in `f32`.
    Kernels,
    /// By compositions of candle's operations, on any device. A browser has only the CPU, and shall not load them.
    #[cfg(not(target_arch = "wasm32"))]
    Composed,
}

/// Runs an operation, whose shapes have been checked, on the engine's path.
macro_rules! run {
    ($engine:ident.$operation:ident($($argument:expr),*)) => {
        match $engine.path {
            Path::Kernels => cpu::$operation($($argument),*),
            #[cfg(not(target_arch = "wasm32"))]
            Path::Composed => {
                composed::$operation(&$engine.placement, $($argument),*).map_err(Error::engine)
            }
        }
    };
}

impl CandleEngine {
    /// The engine on the CPU, with kernels of its own.
    #[must_use]
    pub fn cpu() -> Self {
        Self { placement: Placement { device: Device::Cpu, dtype: DType::F32 }, path: Path::Kernels }
    }

    /// The engine on any device, computing in `dtype` (`F32`, `BF16` or `F16`) with candle's operations.
    ///
    /// Tensors that live elsewhere or in another type are converted wherever they are used, and their gradients are
    /// converted back: weights that learn can stay in `f32` beside their optimizer.
    ///
    /// # Errors
    /// Other types.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn composed(device: Device, dtype: DType) -> Result<Self> {
        if !matches!(dtype, DType::F32 | DType::BF16 | DType::F16) {
            return Err(input_error("dtype", format!("{dtype:?} is none of F32, BF16 and F16")));
        }
        Ok(Self { placement: Placement { device, dtype }, path: Path::Composed })
    }

    /// The engine on the CUDA device with this number, in `f32`; for another type there is [`composed`](Self::composed).
    ///
    /// # Errors
    /// A program that was built without CUDA; a device that is not there.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn cuda(ordinal: usize) -> Result<Self> {
        let built = cfg!(feature = "cuda");
        let device = Card::Cuda(ordinal).start().map_err(|error| no_device("CUDA", "cuda", built, &error))?;
        Self::composed(device, DType::F32)
    }

    /// The engine on the Metal device with this number, in `f32`; for another type there is [`composed`](Self::composed).
    ///
    /// # Errors
    /// A program that was built without Metal; a device that is not there.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn metal(ordinal: usize) -> Result<Self> {
        let built = cfg!(feature = "metal");
        let device =
            Card::Metal(ordinal).start().map_err(|error| no_device("Metal", "metal", built, &error))?;
        Self::composed(device, DType::F32)
    }

    /// Whether its device has kernels for bf16. Older cards have none.
    #[cfg(not(target_arch = "wasm32"))]
    #[must_use]
    pub fn knows_bf16(&self) -> bool {
        cards::knows_bf16(self.device())
    }

    /// Bytes that can be had of the memory of a graphics card, where its driver tells; none of the processor.
    #[cfg(not(target_arch = "wasm32"))]
    #[must_use]
    pub fn free_memory(&self) -> Option<usize> {
        cards::free_memory(self.device())
    }

    /// The engine that computes there in `f32`; the same where it does already.
    #[must_use]
    pub fn in_single(&self) -> Self {
        let placement = Placement { device: self.placement.device.clone(), dtype: DType::F32 };
        Self { placement, path: self.path }
    }

    /// The type in which a graphics card holds weights in two bytes: the one that it computes in, so that they are not converted
    /// at each use. None of the processor, which reads them as their file has them.
    pub(crate) fn two_bytes(&self) -> Option<DType> {
        match self.placement.dtype {
            DType::F32 if self.placement.device.is_cpu() => None,
            // A card without bf16.
            DType::F32 => Some(DType::F16),
            dtype => Some(dtype),
        }
    }

    /// Whether it computes with its own kernels, on the processor's threads.
    pub(crate) fn has_kernels(&self) -> bool {
        matches!(self.path, Path::Kernels)
    }

    /// Where tensors live.
    #[must_use]
    pub fn device(&self) -> &Device {
        &self.placement.device
    }

    /// The type that the engine computes in.
    #[must_use]
    pub fn dtype(&self) -> DType {
        self.placement.dtype
    }
}

/// Why there is no device, and what to do about it.
#[cfg(not(target_arch = "wasm32"))]
fn no_device(name: &str, feature: &str, built: bool, error: &candle_core::Error) -> Error {
    let reason = if built {
        let cause = error.to_string();
        let cause = cause.lines().next().unwrap_or_default();
        format!(
            "{name} does not start ({cause}); check the device's number, and that its driver is as new as the tool kit that the program was built with, or use the CPU"
        )
    } else {
        format!("this program was built without {name}; build it with `--features {feature}`, or use the CPU")
    };
    input_error("device", reason)
}

#[cfg(not(target_arch = "wasm32"))]
fn input_error(name: &'static str, reason: String) -> Error {
    Error::Input { name, reason }
}

/// The shape of a tensor.
fn dims(x: &Tensor) -> &[usize] {
    x.value().dims()
}

impl Readable for CandleEngine {
    async fn read(&self, x: &Tensor) -> Result<Vec<f32>> {
        self.to_vec(x)
    }
}

impl Engine for CandleEngine {
    type Tensor = Tensor;

    fn from_slice(&self, values: &[f32], shape: &[usize]) -> Result<Tensor> {
        let value = Value::from_slice(values, shape, self.device())
            .and_then(|value| value.to_dtype(self.dtype()))
            .map_err(Error::engine)?;
        Ok(Tensor::constant(value))
    }

    fn to_vec(&self, x: &Tensor) -> Result<Vec<f32>> {
        slices::to_vec(x.value())
    }

    fn shape(&self, x: &Tensor) -> Vec<usize> {
        x.value().dims().to_vec()
    }

    fn reshape(&self, x: &Tensor, shape: &[usize]) -> Result<Tensor> {
        let value = x.value().reshape(shape).map_err(Error::engine)?;
        let before = x.value().dims().to_vec();
        Ok(Tensor::recorded(value, &[x], move |dy| {
            Ok(vec![Some(dy.reshape(before).map_err(Error::engine)?)])
        }))
    }

    fn linear(&self, x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
        shapes::linear(dims(x), dims(weight), bias.map(dims))?;
        run!(self.linear(x, weight, bias))
    }

    fn conv2d(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: Option<&Tensor>,
        geometry: ConvGeometry,
    ) -> Result<Tensor> {
        shapes::conv2d(dims(x), dims(weight), bias.map(dims), geometry)?;
        run!(self.conv2d(x, weight, bias, geometry))
    }

    fn depthwise_conv2d(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: Option<&Tensor>,
        geometry: ConvGeometry,
    ) -> Result<Tensor> {
        shapes::depthwise_conv2d(dims(x), dims(weight), bias.map(dims), geometry)?;
        run!(self.depthwise_conv2d(x, weight, bias, geometry))
    }

    fn group_norm(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        groups: usize,
        eps: f32,
        activation: Option<Activation>,
    ) -> Result<Tensor> {
        shapes::group_norm(dims(x), dims(weight), dims(bias), groups)?;
        match activation {
            None | Some(Activation::Silu) => {
                run!(self.group_norm(x, weight, bias, groups, eps, activation.is_some()))
            }
            Some(other) => {
                self.activation(&run!(self.group_norm(x, weight, bias, groups, eps, false))?, other)
            }
        }
    }

    fn layer_norm(&self, x: &Tensor, weight: &Tensor, bias: &Tensor, eps: f32) -> Result<Tensor> {
        shapes::layer_norm(dims(x), dims(weight), dims(bias))?;
        run!(self.layer_norm(x, weight, bias, eps))
    }

    fn attention(&self, q: &Tensor, k: &Tensor, v: &Tensor, heads: usize, causal: bool) -> Result<Tensor> {
        shapes::attention(dims(q), dims(k), dims(v), heads)?;
        run!(self.attention(q, k, v, heads, causal))
    }

    fn biased_attention(
        &self,
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
        heads: usize,
        bias: ScoreBias<'_, Tensor>,
    ) -> Result<Tensor> {
        let shape = match &bias {
            ScoreBias::Full(bias) => ScoreBias::Full(dims(bias)),
            ScoreBias::Relative { grid, rows, columns } => {
                ScoreBias::Relative { grid: *grid, rows: dims(rows), columns: dims(columns) }
            }
        };
        shapes::biased_attention(dims(q), dims(k), dims(v), heads, shape)?;
        run!(self.biased_attention(q, k, v, heads, bias))
    }

    fn activation(&self, x: &Tensor, kind: Activation) -> Result<Tensor> {
        run!(self.activation(x, kind))
    }

    fn geglu(&self, x: &Tensor) -> Result<Tensor> {
        shapes::geglu(dims(x))?;
        run!(self.geglu(x))
    }

    fn upsample_nearest(&self, x: &Tensor, height: usize, width: usize) -> Result<Tensor> {
        shapes::upsample_nearest(dims(x), height, width)?;
        run!(self.upsample_nearest(x, height, width))
    }

    fn add(&self, a: &Tensor, b: &Tensor) -> Result<Tensor> {
        shapes::add(dims(a), dims(b))?;
        run!(self.add(a, b))
    }

    fn add_per_sample(&self, x: &Tensor, v: &Tensor) -> Result<Tensor> {
        shapes::add_per_sample(dims(x), dims(v))?;
        run!(self.add_per_sample(x, v))
    }

    fn add_positions(&self, x: &Tensor, table: &Tensor) -> Result<Tensor> {
        shapes::add_positions(dims(x), dims(table))?;
        run!(self.add_positions(x, table))
    }

    fn scale(&self, x: &Tensor, factor: f32) -> Result<Tensor> {
        run!(self.scale(x, factor))
    }

    fn mul(&self, x: &Tensor, by: &Tensor) -> Result<Tensor> {
        shapes::mul(dims(x), dims(by))?;
        run!(self.mul(x, by))
    }

    fn concat(&self, a: &Tensor, b: &Tensor, axis: usize) -> Result<Tensor> {
        shapes::concat(dims(a), dims(b), axis)?;
        run!(self.concat(a, b, axis))
    }

    fn slice(&self, x: &Tensor, axis: usize, start: usize, length: usize) -> Result<Tensor> {
        shapes::slice(dims(x), axis, start, length)?;
        run!(self.slice(x, axis, start, length))
    }

    fn permute(&self, x: &Tensor, axes: &[usize]) -> Result<Tensor> {
        shapes::permute(dims(x), axes)?;
        run!(self.permute(x, axes))
    }

    fn embedding(&self, table: &Tensor, ids: &[u32], batch: usize) -> Result<Tensor> {
        shapes::embedding(dims(table), ids, batch)?;
        run!(self.embedding(table, ids, batch))
    }

    fn select_positions(&self, x: &Tensor, at: &[usize]) -> Result<Tensor> {
        shapes::select_positions(dims(x), at)?;
        run!(self.select_positions(x, at))
    }
}
