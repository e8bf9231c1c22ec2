//! Dispatches that are recorded and sent together.

/// One kernel over a grid of workgroups.
#[derive(Debug)]
pub(crate) struct Dispatch {
    pub(crate) pipeline: wgpu::ComputePipeline,
    pub(crate) bindings: wgpu::BindGroup,
    pub(crate) workgroups: [u32; 3],
}

/// What has been recorded since the counters were last taken.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Work {
    /// Kernels started.
    pub dispatches: u64,
    /// Command buffers sent.
    pub submissions: u64,
    /// Bytes of all tensors read and written by kernels, each counted once a kernel.
    pub bytes: u64,
    /// Floating point operations of products, convolutions and attention.
    pub flops: f64,
}

/// Parameters of one dispatch are at most that many bytes.
const LARGEST_PARAMETERS: u64 = 256;
/// Bytes of one buffer for parameters.
const PAGE: u64 = 64 * 1024;

/// Dispatches that have not been sent yet, and the parameters of their kernels.
#[derive(Debug)]
pub(crate) struct Recorder {
    dispatches: Vec<Dispatch>,
    pages: Vec<Page>,
    /// The page that is being filled.
    page: usize,
    stride: u64,
    /// Floating point operations that have been recorded and not sent.
    pub(crate) pending: f64,
    /// Bytes that have been written since something was sent.
    uploads: u64,
    pub(crate) work: Work,
}

#[derive(Debug)]
struct Page {
    buffer: wgpu::Buffer,
    bytes: Vec<u8>,
}

impl Recorder {
    pub(crate) fn new(uniform_alignment: u64) -> Self {
        let stride = LARGEST_PARAMETERS.next_multiple_of(uniform_alignment.max(1));
        let (dispatches, pages) = (Vec::new(), Vec::new());
        Self { dispatches, pages, page: 0, stride, pending: 0.0, uploads: 0, work: Work::default() }
    }

    /// Places the parameters of a dispatch; the buffer and the offset where they will be.
    pub(crate) fn place(&mut self, device: &wgpu::Device, parameters: &[u32]) -> (wgpu::Buffer, u64) {
        if self.pages.get(self.page).is_some_and(|page| page.bytes.len() as u64 + self.stride > PAGE) {
            self.page += 1;
        }
        if self.page == self.pages.len() {
            let buffer = device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("parameters"),
                size: PAGE,
                usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
                mapped_at_creation: false,
            });
            self.pages.push(Page { buffer, bytes: Vec::new() });
        }
        let page = &mut self.pages[self.page];
        let offset = page.bytes.len() as u64;
        page.bytes.extend(parameters.iter().flat_map(|word| word.to_le_bytes()));
        page.bytes.resize((offset + self.stride) as usize, 0);
        (page.buffer.clone(), offset)
    }

    /// Counts bytes that the CPU has written; all of them since something was sent.
    pub(crate) fn uploaded(&mut self, bytes: u64) -> u64 {
        self.uploads += bytes;
        self.uploads
    }

    pub(crate) fn push(&mut self, dispatch: Dispatch) {
        self.work.dispatches += 1;
        self.dispatches.push(dispatch);
    }

    /// Sends what was recorded, in one command buffer, after which `finish` may add copies.
    pub(crate) fn send(
        &mut self,
        device: &wgpu::Device,
        queue: &wgpu::Queue,
        finish: impl FnOnce(&mut wgpu::CommandEncoder),
    ) {
        // Parameters are written before the commands run, and after those of earlier command buffers have.
        for page in &mut self.pages {
            if !page.bytes.is_empty() {
                queue.write_buffer(&page.buffer, 0, &page.bytes);
                page.bytes.clear();
            }
        }
        self.page = 0;
        let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        // Where values were written alone there is nothing to run.
        if !self.dispatches.is_empty() {
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
            for Dispatch { pipeline, bindings, workgroups: [x, y, z] } in self.dispatches.drain(..) {
                pass.set_pipeline(&pipeline);
                pass.set_bind_group(0, &bindings, &[]);
                pass.dispatch_workgroups(x, y, z);
            }
        }
        finish(&mut encoder);
        queue.submit([encoder.finish()]);
        self.pending = 0.0;
        self.uploads = 0;
        self.work.submissions += 1;
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.dispatches.is_empty()
    }
}
