//! [`CandleEngine`]: the operations of [`Engine`] on candle tensors.

use candle_core::{DType, Device, Tensor as Value};
use mudi_diffusion::{Activation, ConvGeometry, Engine, Error, Result, ScoreBias};

use crate::composed::{self, Placement};
use crate::cpu;
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
    /// By compositions of candle's operations, on any device.
    Composed,
}

/// Runs an operation, whose shapes have been checked, on the engine's path.
macro_rules! run {
    ($engine:ident.$operation:ident($($argument:expr),*)) => {
        match $engine.path {
            Path::Kernels => cpu::$operation($($argument),*),
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
    pub fn cuda(ordinal: usize) -> Result<Self> {
        let built = cfg!(feature = "cuda");
        let device = Device::new_cuda(ordinal).map_err(|error| no_device("CUDA", "cuda", built, &error))?;
        Self::composed(device, DType::F32)
    }

    /// The engine on the Metal device with this number, in `f32`; for another type there is [`composed`](Self::composed).
    ///
    /// # Errors
    /// A program that was built without Metal; a device that is not there.
    pub fn metal(ordinal: usize) -> Result<Self> {
        let built = cfg!(feature = "metal");
        let device =
            Device::new_metal(ordinal).map_err(|error| no_device("Metal", "metal", built, &error))?;
        Self::composed(device, DType::F32)
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
fn no_device(name: &str, feature: &str, built: bool, error: &candle_core::Error) -> Error {
    let reason = if built {
        let cause = error.to_string();
        let cause = cause.lines().next().unwrap_or_default();
        format!("{name} does not start ({cause}); check the device's number and its driver, or use the CPU")
    } else {
        format!("this program was built without {name}; build it with `--features {feature}`, or use the CPU")
    };
    input_error("device", reason)
}

fn input_error(name: &'static str, reason: String) -> Error {
    Error::Input { name, reason }
}

/// The last axis of a tensor.
fn width(x: &Value) -> Result<usize> {
    x.dims()
        .last()
        .copied()
        .filter(|&width| width > 0)
        .ok_or_else(|| input_error("tensor", format!("shape {:?} has no last axis", x.dims())))
}

/// Fails with the shapes where `fits` is false or a tensor is empty.
fn check(fits: bool, operation: &'static str, shapes: &[&Value]) -> Result<()> {
    if fits && shapes.iter().all(|value| value.elem_count() > 0) {
        return Ok(());
    }
    let shapes: Vec<&[usize]> = shapes.iter().map(|value| value.dims()).collect();
    Err(input_error(operation, format!("the shapes {shapes:?} do not fit each other, or are empty")))
}

/// The sizes of the queries, where queries, keys and values fit each other.
fn check_attention(q: &Tensor, k: &Tensor, v: &Tensor, heads: usize) -> Result<(usize, usize, usize)> {
    let (batch, queries, channels) = q.value().dims3().map_err(Error::engine)?;
    let (k_batch, keys, k_channels) = k.value().dims3().map_err(Error::engine)?;
    let fits = k.value().dims() == v.value().dims()
        && (batch, channels) == (k_batch, k_channels)
        && keys > 0
        && heads > 0
        && channels.is_multiple_of(heads);
    check(fits, "attention", &[q.value(), k.value(), v.value()])?;
    Ok((batch, queries, channels))
}

/// Whether a convolution of that geometry has a result, and its bias fits.
fn conv_fits(x: &[usize], w: &[usize], bias: Option<&Tensor>, geometry: ConvGeometry) -> bool {
    let (kh, kw) = (w[1], w[2]);
    geometry.stride > 0
        && geometry.before < kh.min(kw)
        && geometry.after < kh.min(kw)
        && geometry.output(x[1], kh) > 0
        && geometry.output(x[2], kw) > 0
        && bias.is_none_or(|bias| bias.value().dims() == [w[0]])
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
        let inputs = width(x.value())?;
        let (outputs, expected) = weight.value().dims2().map_err(Error::engine)?;
        let fits = inputs == expected && bias.is_none_or(|bias| bias.value().dims() == [outputs]);
        check(fits, "linear", &[x.value(), weight.value()])?;
        run!(self.linear(x, weight, bias))
    }

    fn conv2d(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: Option<&Tensor>,
        geometry: ConvGeometry,
    ) -> Result<Tensor> {
        let (_, _, _, inputs) = x.value().dims4().map_err(Error::engine)?;
        let (_, _, _, expected) = weight.value().dims4().map_err(Error::engine)?;
        let fits = inputs == expected && conv_fits(x.value().dims(), weight.value().dims(), bias, geometry);
        check(fits, "conv2d", &[x.value(), weight.value()])?;
        run!(self.conv2d(x, weight, bias, geometry))
    }

    fn depthwise_conv2d(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: Option<&Tensor>,
        geometry: ConvGeometry,
    ) -> Result<Tensor> {
        let (_, _, _, channels) = x.value().dims4().map_err(Error::engine)?;
        let (expected, _, _, each) = weight.value().dims4().map_err(Error::engine)?;
        let fits = (channels, 1) == (expected, each)
            && conv_fits(x.value().dims(), weight.value().dims(), bias, geometry);
        check(fits, "depthwise_conv2d", &[x.value(), weight.value()])?;
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
        let channels = width(x.value())?;
        let fits = x.value().rank() >= 2
            && groups > 0
            && channels.is_multiple_of(groups)
            && weight.value().dims() == [channels]
            && bias.value().dims() == [channels];
        check(fits, "group_norm", &[x.value(), weight.value(), bias.value()])?;
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
        let channels = width(x.value())?;
        let fits = weight.value().dims() == [channels] && bias.value().dims() == [channels];
        check(fits, "layer_norm", &[x.value(), weight.value(), bias.value()])?;
        run!(self.layer_norm(x, weight, bias, eps))
    }

    fn attention(&self, q: &Tensor, k: &Tensor, v: &Tensor, heads: usize, causal: bool) -> Result<Tensor> {
        check_attention(q, k, v, heads)?;
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
        let (batch, queries, _) = check_attention(q, k, v, heads)?;
        let keys = k.value().dims()[1];
        match bias {
            ScoreBias::Full(bias) => {
                let dims = bias.value().dims();
                let fits = dims == [heads, queries, keys] || dims == [batch * heads, queries, keys];
                check(fits, "biased_attention", &[q.value(), k.value(), bias.value()])?;
            }
            ScoreBias::Relative { grid, rows, columns } => {
                let positions = grid[0].checked_mul(grid[1]).filter(|&positions| positions > 0);
                // Within that product neither length can overflow.
                let dims = |length: usize| [batch, queries, heads * (2 * length).saturating_sub(1)];
                let fits = positions == Some(queries)
                    && queries == keys
                    && rows.value().dims() == dims(grid[0])
                    && columns.value().dims() == dims(grid[1]);
                check(fits, "biased_attention", &[q.value(), k.value(), rows.value(), columns.value()])?;
            }
        }
        run!(self.biased_attention(q, k, v, heads, bias))
    }

    fn activation(&self, x: &Tensor, kind: Activation) -> Result<Tensor> {
        run!(self.activation(x, kind))
    }

    fn geglu(&self, x: &Tensor) -> Result<Tensor> {
        check(width(x.value())?.is_multiple_of(2), "geglu", &[x.value()])?;
        run!(self.geglu(x))
    }

    fn upsample_nearest(&self, x: &Tensor, height: usize, width: usize) -> Result<Tensor> {
        let (_, h, w, _) = x.value().dims4().map_err(Error::engine)?;
        check(h > 0 && w > 0 && height >= h && width >= w, "upsample_nearest", &[x.value()])?;
        run!(self.upsample_nearest(x, height, width))
    }

    fn add(&self, a: &Tensor, b: &Tensor) -> Result<Tensor> {
        check(a.value().dims() == b.value().dims(), "add", &[a.value(), b.value()])?;
        run!(self.add(a, b))
    }

    fn add_per_sample(&self, x: &Tensor, v: &Tensor) -> Result<Tensor> {
        let dims = x.value().dims();
        let fits = dims.len() >= 2 && v.value().dims() == [dims[0], width(x.value())?];
        check(fits, "add_per_sample", &[x.value(), v.value()])?;
        run!(self.add_per_sample(x, v))
    }

    fn add_positions(&self, x: &Tensor, table: &Tensor) -> Result<Tensor> {
        let (_, length, channels) = x.value().dims3().map_err(Error::engine)?;
        let (positions, expected) = table.value().dims2().map_err(Error::engine)?;
        check(length <= positions && channels == expected, "add_positions", &[x.value(), table.value()])?;
        run!(self.add_positions(x, table))
    }

    fn scale(&self, x: &Tensor, factor: f32) -> Result<Tensor> {
        run!(self.scale(x, factor))
    }

    fn mul(&self, x: &Tensor, by: &Tensor) -> Result<Tensor> {
        check(x.value().dims().ends_with(by.value().dims()), "mul", &[x.value(), by.value()])?;
        run!(self.mul(x, by))
    }

    fn concat(&self, a: &Tensor, b: &Tensor, axis: usize) -> Result<Tensor> {
        let (da, db) = (a.value().dims(), b.value().dims());
        let fits = axis < da.len()
            && da.len() == db.len()
            && (0..da.len()).all(|other| other == axis || da[other] == db[other]);
        check(fits, "concat", &[a.value(), b.value()])?;
        run!(self.concat(a, b, axis))
    }

    fn slice(&self, x: &Tensor, axis: usize, start: usize, length: usize) -> Result<Tensor> {
        let places = x.value().dims().get(axis).copied().unwrap_or(0);
        let fits = length > 0 && start.checked_add(length).is_some_and(|end| end <= places);
        check(fits, "slice", &[x.value()])?;
        run!(self.slice(x, axis, start, length))
    }

    fn permute(&self, x: &Tensor, axes: &[usize]) -> Result<Tensor> {
        let rank = x.value().rank();
        let fits = axes.len() == rank && (0..rank).all(|axis| axes.contains(&axis));
        check(fits, "permute", &[x.value()])?;
        run!(self.permute(x, axes))
    }

    fn embedding(&self, table: &Tensor, ids: &[u32], batch: usize) -> Result<Tensor> {
        let (rows, _) = table.value().dims2().map_err(Error::engine)?;
        let fits = batch > 0 && ids.len().is_multiple_of(batch) && ids.iter().all(|&id| (id as usize) < rows);
        check(fits, "embedding", &[table.value()])?;
        run!(self.embedding(table, ids, batch))
    }

    fn select_positions(&self, x: &Tensor, at: &[usize]) -> Result<Tensor> {
        let (batch, length, _) = x.value().dims3().map_err(Error::engine)?;
        check(at.len() == batch && at.iter().all(|&at| at < length), "select_positions", &[x.value()])?;
        run!(self.select_positions(x, at))
    }
}
