//! [`WgpuEngine`]: the operations of [`Engine`] on wgpu tensors.

use std::cell::RefCell;
use std::ops::Range;
use std::rc::Rc;

use half::f16;
use mudi_diffusion::{Activation, ConvGeometry, Engine, Error, Readable, Result, ScoreBias, shapes};

use crate::error::GpuError;
use crate::gpu::{Gpu, Storage};
use crate::kernel::{Compiled, Kernel, Pipelines};
use crate::ops;
use crate::pool::{Pool, Writer};
use crate::read::Read;
use crate::recorder::{Dispatch, Recorder, Work};
use crate::settings::Settings;
use crate::tensor::Tensor;

/// Workgroups along one axis of a dispatch, as WebGPU limits them.
const MOST_GROUPS: usize = 65_535;
/// Bytes that are on their way to the GPU when they are sent. Browsers may keep a copy of them until then: of a model, all of it once more.
const UPLOADS: u64 = 64 << 20;

/// The engine. Cheap to clone; clones share the GPU, the compiled kernels and the memory.
#[derive(Clone, Debug)]
pub struct WgpuEngine {
    inner: Rc<Inner>,
}

#[derive(Debug)]
struct Inner {
    gpu: Gpu,
    settings: Settings,
    pool: Rc<RefCell<Pool>>,
    recorder: RefCell<Recorder>,
    pipelines: RefCell<Pipelines>,
}

impl Drop for Inner {
    /// A browser would keep the memory until it next collects garbage, of which it does not count this.
    fn drop(&mut self) {
        self.gpu.destroy();
    }
}

impl WgpuEngine {
    /// The engine on `gpu`.
    ///
    /// # Errors
    /// [`Storage::Half`] on a GPU that has not got it.
    pub fn new(gpu: Gpu, settings: Settings) -> Result<Self> {
        if settings.storage == Storage::Half && !gpu.adapter.half {
            let reason = format!("`{}` has no 16-bit numbers; use 32-bit ones", gpu.adapter.name);
            return Err(Error::Input { name: "storage", reason });
        }
        let recorder = RefCell::new(Recorder::new(gpu.uniform_alignment));
        let (pool, pipelines) = (Rc::default(), RefCell::default());
        Ok(Self { inner: Rc::new(Inner { gpu, settings, pool, recorder, pipelines }) })
    }

    /// The GPU.
    #[must_use]
    pub fn gpu(&self) -> &Gpu {
        &self.inner.gpu
    }

    /// How it computes.
    #[must_use]
    pub fn settings(&self) -> Settings {
        self.inner.settings
    }

    /// Sends everything that has been recorded to the GPU, and what `finish` adds.
    fn send(&self, finish: impl FnOnce(&mut wgpu::CommandEncoder)) {
        let Gpu { device, queue, .. } = &self.inner.gpu;
        self.inner.recorder.borrow_mut().send(device, queue, finish);
        self.inner.pool.borrow_mut().submitted();
    }

    /// What has been recorded since this was last asked.
    #[must_use]
    pub fn take_work(&self) -> Work {
        std::mem::take(&mut self.inner.recorder.borrow_mut().work)
    }

    /// Bytes of GPU memory that tensors and free buffers take.
    #[must_use]
    pub fn memory(&self) -> u64 {
        self.inner.pool.borrow().bytes
    }

    /// Sends what is recorded and a copy of `x`, which is mapped into the CPU's memory later.
    fn begin_read(&self, x: &Tensor) -> Read {
        let bytes = self.bytes(x.elements());
        let Gpu { device, .. } = &self.inner.gpu;
        let copy = Read::buffer(device, bytes);
        self.send(|encoder| encoder.copy_buffer_to_buffer(x.buffer(), 0, &copy, 0, bytes));
        Read::begin(copy, self.inner.settings.storage, x.elements())
    }

    /// Bytes of that many values, as buffers are copied: in fours.
    fn bytes(&self, count: usize) -> u64 {
        (count as u64 * self.inner.settings.storage.bytes()).next_multiple_of(4)
    }

    /// A tensor whose values a kernel will write.
    pub(crate) fn empty(&self, shape: &[usize]) -> Result<Tensor> {
        self.allocate(shape, self.bytes(shape.iter().product()), Writer::Kernel)
    }

    /// A tensor of `f32`, whatever others are stored as, whose values a kernel will write.
    pub(crate) fn empty_floats(&self, count: usize) -> Result<Tensor> {
        self.allocate(&[count], 4 * count as u64, Writer::Kernel)
    }

    fn allocate(&self, shape: &[usize], bytes: u64, writer: Writer) -> Result<Tensor> {
        let gpu = &self.inner.gpu;
        let limit = gpu.adapter.largest_tensor;
        if bytes > limit {
            return Err(GpuError::TooLarge { bytes, limit }.into());
        }
        let buffer = self.inner.pool.borrow_mut().take(&gpu.device, bytes, limit, writer);
        Ok(Tensor::new(buffer, self.inner.pool.clone(), shape))
    }

    fn upload(&self, shape: &[usize], bytes: &[u8]) -> Result<Tensor> {
        let tensor = self.allocate(shape, bytes.len() as u64, Writer::Cpu)?;
        self.inner.gpu.queue.write_buffer(tensor.buffer(), 0, bytes);
        if self.inner.recorder.borrow_mut().uploaded(bytes.len() as u64) > UPLOADS {
            self.send(|_| ());
        }
        Ok(tensor)
    }

    /// A list of `u32`.
    pub(crate) fn indices(&self, values: &[u32]) -> Result<Tensor> {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.upload(&[values.len()], &bytes)
    }

    /// Cuts `rows`, each of so many floating point operations, into parts of whole `tile`s that one dispatch may do, by its time and by
    /// its workgroups, of which each takes a tile.
    pub(crate) fn parts(
        &self,
        rows: usize,
        tile: usize,
        flops_of_a_row: f64,
    ) -> impl Iterator<Item = Range<usize>> + use<> {
        let most =
            ((self.inner.settings.budget / flops_of_a_row) as usize / tile).clamp(1, MOST_GROUPS) * tile;
        (0..rows).step_by(most).map(move |first| first..rows.min(first.saturating_add(most)))
    }

    /// Records one kernel.
    pub(crate) fn run(&self, kernel: &Kernel<'_>, body: impl FnOnce() -> String) -> Result<()> {
        let Inner { gpu, settings, recorder, pipelines, .. } = &*self.inner;
        let device = &gpu.device;
        let Compiled { pipeline, bindings: layout } =
            pipelines.borrow_mut().get(device, settings.storage, kernel, body);
        let mut workgroups = [1; 3];
        for (count, &wanted) in workgroups.iter_mut().zip(&kernel.workgroups) {
            *count = u32::try_from(wanted).unwrap_or(u32::MAX);
        }
        let numbers: Vec<u32> = kernel.numbers.iter().map(|(_, number)| number.bits()).collect();
        let mut recorder = recorder.borrow_mut();
        if recorder.pending + kernel.flops > settings.budget && !recorder.is_empty() {
            recorder.send(device, &gpu.queue, |_| ());
            self.inner.pool.borrow_mut().submitted();
        }
        let (page, offset) = recorder.place(device, &numbers);
        let parameters = wgpu::BufferBinding {
            buffer: &page,
            offset,
            size: wgpu::BufferSize::new((4 * numbers.len() as u64).next_multiple_of(16)),
        };
        let mut entries =
            vec![wgpu::BindGroupEntry { binding: 0, resource: wgpu::BindingResource::Buffer(parameters) }];
        for (binding, (_, tensor, _)) in (1..).zip(kernel.inputs.iter().chain(kernel.outputs)) {
            recorder.work.bytes += self.bytes(tensor.elements());
            entries.push(wgpu::BindGroupEntry { binding, resource: tensor.buffer().as_entire_binding() });
        }
        let bindings = device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: None,
            layout: &layout,
            entries: &entries,
        });
        recorder.pending += kernel.flops;
        recorder.work.flops += kernel.flops;
        recorder.push(Dispatch { pipeline, bindings, workgroups });
        Ok(())
    }
}

impl Readable for WgpuEngine {
    async fn read(&self, x: &Tensor) -> Result<Vec<f32>> {
        let read = self.begin_read(x);
        read.finish(&self.inner.gpu).await
    }
}

impl Engine for WgpuEngine {
    type Tensor = Tensor;

    fn from_slice(&self, values: &[f32], shape: &[usize]) -> Result<Tensor> {
        shapes::reshape(&[values.len()], shape)?;
        let mut bytes: Vec<u8> = match self.inner.settings.storage {
            Storage::Single => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
            Storage::Half => values.iter().flat_map(|&value| f16::from_f32(value).to_le_bytes()).collect(),
        };
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        self.upload(shape, &bytes)
    }

    #[cfg(target_arch = "wasm32")]
    fn to_vec(&self, _x: &Tensor) -> Result<Vec<f32>> {
        Err(GpuError::CannotWait.into())
    }

    #[cfg(not(target_arch = "wasm32"))]
    fn to_vec(&self, x: &Tensor) -> Result<Vec<f32>> {
        use std::task::{Context, Poll, Waker};
        let mut read = std::pin::pin!(self.read(x));
        // The first poll waits for the GPU, which then has called back.
        match read.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(values) => values,
            Poll::Pending => Err(GpuError::CannotWait.into()),
        }
    }

    fn shape(&self, x: &Tensor) -> Vec<usize> {
        x.shape().to_vec()
    }

    fn reshape(&self, x: &Tensor, shape: &[usize]) -> Result<Tensor> {
        shapes::reshape(x.shape(), shape)?;
        Ok(x.with_shape(shape))
    }

    fn linear(&self, x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
        let shape = shapes::linear(x.shape(), weight.shape(), bias.map(Tensor::shape))?;
        ops::product::linear(self, x, weight, bias, &shape)
    }

    fn conv2d(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: Option<&Tensor>,
        geometry: ConvGeometry,
    ) -> Result<Tensor> {
        let shape = shapes::conv2d(x.shape(), weight.shape(), bias.map(Tensor::shape), geometry)?;
        ops::product::conv2d(self, x, weight, bias, geometry, shape)
    }

    fn depthwise_conv2d(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: Option<&Tensor>,
        geometry: ConvGeometry,
    ) -> Result<Tensor> {
        let shape = shapes::depthwise_conv2d(x.shape(), weight.shape(), bias.map(Tensor::shape), geometry)?;
        ops::depthwise::depthwise_conv2d(self, x, weight, bias, geometry, shape)
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
        shapes::group_norm(x.shape(), weight.shape(), bias.shape(), groups)?;
        ops::norm::group_norm(self, x, weight, bias, groups, eps, activation)
    }

    fn layer_norm(&self, x: &Tensor, weight: &Tensor, bias: &Tensor, eps: f32) -> Result<Tensor> {
        shapes::layer_norm(x.shape(), weight.shape(), bias.shape())?;
        ops::norm::layer_norm(self, x, weight, bias, eps)
    }

    fn attention(&self, q: &Tensor, k: &Tensor, v: &Tensor, heads: usize, causal: bool) -> Result<Tensor> {
        let sizes = shapes::attention(q.shape(), k.shape(), v.shape(), heads)?;
        let extra = if causal { ops::attention::Extra::Causal } else { ops::attention::Extra::None };
        ops::attention::attention(self, [q, k, v], heads, sizes, extra)
    }

    fn biased_attention(
        &self,
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
        heads: usize,
        bias: ScoreBias<'_, Tensor>,
    ) -> Result<Tensor> {
        let shape = match bias {
            ScoreBias::Full(bias) => ScoreBias::Full(bias.shape()),
            ScoreBias::Relative { grid, rows, columns } => {
                ScoreBias::Relative { grid, rows: rows.shape(), columns: columns.shape() }
            }
        };
        let sizes = shapes::biased_attention(q.shape(), k.shape(), v.shape(), heads, shape)?;
        ops::attention::attention(self, [q, k, v], heads, sizes, ops::attention::Extra::Bias(bias))
    }

    fn activation(&self, x: &Tensor, kind: Activation) -> Result<Tensor> {
        ops::pointwise::activation(self, x, kind)
    }

    fn geglu(&self, x: &Tensor) -> Result<Tensor> {
        ops::pointwise::geglu(self, x, &shapes::geglu(x.shape())?)
    }

    fn upsample_nearest(&self, x: &Tensor, height: usize, width: usize) -> Result<Tensor> {
        ops::arrange::upsample_nearest(self, x, shapes::upsample_nearest(x.shape(), height, width)?)
    }

    fn add(&self, a: &Tensor, b: &Tensor) -> Result<Tensor> {
        shapes::add(a.shape(), b.shape())?;
        ops::pointwise::add(self, a, b)
    }

    fn add_per_sample(&self, x: &Tensor, v: &Tensor) -> Result<Tensor> {
        shapes::add_per_sample(x.shape(), v.shape())?;
        ops::pointwise::add_per_sample(self, x, v)
    }

    fn add_positions(&self, x: &Tensor, table: &Tensor) -> Result<Tensor> {
        shapes::add_positions(x.shape(), table.shape())?;
        ops::pointwise::add_positions(self, x, table)
    }

    fn scale(&self, x: &Tensor, factor: f32) -> Result<Tensor> {
        ops::pointwise::scale(self, x, factor)
    }

    fn mul(&self, x: &Tensor, by: &Tensor) -> Result<Tensor> {
        shapes::mul(x.shape(), by.shape())?;
        ops::pointwise::mul(self, x, by)
    }

    fn concat(&self, a: &Tensor, b: &Tensor, axis: usize) -> Result<Tensor> {
        ops::arrange::concat(self, a, b, axis, &shapes::concat(a.shape(), b.shape(), axis)?)
    }

    fn slice(&self, x: &Tensor, axis: usize, start: usize, length: usize) -> Result<Tensor> {
        ops::arrange::slice(self, x, axis, start, &shapes::slice(x.shape(), axis, start, length)?)
    }

    fn permute(&self, x: &Tensor, axes: &[usize]) -> Result<Tensor> {
        ops::arrange::permute(self, x, axes, &shapes::permute(x.shape(), axes)?)
    }

    fn embedding(&self, table: &Tensor, ids: &[u32], batch: usize) -> Result<Tensor> {
        ops::arrange::rows(self, table, ids, &shapes::embedding(table.shape(), ids, batch)?)
    }

    fn select_positions(&self, x: &Tensor, at: &[usize]) -> Result<Tensor> {
        let shape = shapes::select_positions(x.shape(), at)?;
        let length = x.shape()[1];
        // No tensor has as many rows as 32 bits count.
        let rows: Vec<u32> = at.iter().enumerate().map(|(b, &at)| (b * length + at) as u32).collect();
        ops::arrange::rows(self, x, &rows, &shape)
    }
}
