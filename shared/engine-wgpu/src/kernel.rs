//! Kernels: WGSL assembled around a body, compiled once for each variant.

use std::collections::HashMap;
use std::fmt::Write;

use crate::gpu::Storage;
use crate::tensor::Tensor;

/// What the elements of a binding are, in WGSL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Element {
    /// One value as it is stored, `T`.
    Value,
    /// [`Kernel::lanes`] values, `V`.
    Lanes,
    /// `f32`, whatever tensors are stored as.
    Float,
    /// [`Kernel::lanes`] values of `f32`, `F`.
    Floats,
    /// `u32`.
    Index,
}

impl Element {
    fn wgsl(self) -> &'static str {
        match self {
            Self::Value => "T",
            Self::Lanes => "V",
            Self::Float => "f32",
            Self::Floats => "F",
            Self::Index => "u32",
        }
    }
}

/// A number that a kernel gets with each dispatch, `p.name` in its body.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Number {
    Whole(usize),
    Real(f32),
}

impl Number {
    fn wgsl(self) -> &'static str {
        match self {
            Self::Whole(_) => "u32",
            Self::Real(_) => "f32",
        }
    }

    pub(crate) fn bits(self) -> u32 {
        match self {
            // Everything on a GPU is counted in 32 bits; larger tensors than that cannot be bound.
            Self::Whole(value) => u32::try_from(value).unwrap_or(u32::MAX),
            Self::Real(value) => value.to_bits(),
        }
    }
}

/// A kernel to run, and what on. Inputs are read-only; the outputs come after them.
pub(crate) struct Kernel<'a> {
    /// Tells it from all other kernels and variants of the same one.
    pub(crate) key: String,
    /// Values in one `V`: 1 or 4.
    pub(crate) lanes: usize,
    pub(crate) inputs: &'a [(&'static str, &'a Tensor, Element)],
    pub(crate) outputs: &'a [(&'static str, &'a Tensor, Element)],
    pub(crate) numbers: &'a [(&'static str, Number)],
    pub(crate) workgroups: [usize; 3],
    /// Floating point operations, where they are many.
    pub(crate) flops: f64,
}

impl Kernel<'_> {
    /// The whole program.
    fn source(&self, storage: Storage, body: &str) -> String {
        let mut source = String::new();
        let value = match storage {
            Storage::Single => "f32",
            Storage::Half => {
                source.push_str("enable f16;\n");
                "f16"
            }
        };
        let _ = writeln!(source, "alias T = {value};");
        source.push_str(match self.lanes {
            4 => "alias V = vec4<T>;\nalias F = vec4<f32>;\nfn product(a: F, b: F) -> f32 { return dot(a, b); }\n",
            _ => "alias V = T;\nalias F = f32;\nfn product(a: F, b: F) -> f32 { return a * b; }\n",
        });
        source.push_str("struct Numbers {\n");
        for (name, number) in self.numbers {
            let _ = writeln!(source, "    {name}: {},", number.wgsl());
        }
        source.push_str("}\n@group(0) @binding(0) var<uniform> p: Numbers;\n");
        let inputs = self.inputs.iter().map(|input| (input, "read"));
        let outputs = self.outputs.iter().map(|output| (output, "read_write"));
        for (index, ((name, _, element), access)) in inputs.chain(outputs).enumerate() {
            let (binding, element) = (index + 1, element.wgsl());
            let _ = writeln!(
                source,
                "@group(0) @binding({binding}) var<storage, {access}> {name}: array<{element}>;"
            );
        }
        source.push_str(body);
        source
    }
}

/// A kernel that has been compiled, and the layout of its bindings.
#[derive(Clone, Debug)]
pub(crate) struct Compiled {
    pub(crate) pipeline: wgpu::ComputePipeline,
    pub(crate) bindings: wgpu::BindGroupLayout,
}

/// Compiled kernels by key.
#[derive(Debug, Default)]
pub(crate) struct Pipelines {
    compiled: HashMap<String, Compiled>,
}

impl Pipelines {
    /// The compiled kernel; `body` is called where it has not been compiled yet.
    pub(crate) fn get(
        &mut self,
        device: &wgpu::Device,
        storage: Storage,
        kernel: &Kernel<'_>,
        body: impl FnOnce() -> String,
    ) -> Compiled {
        if let Some(compiled) = self.compiled.get(&kernel.key) {
            return compiled.clone();
        }
        let source = kernel.source(storage, &body());
        let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
            label: Some(&kernel.key),
            source: wgpu::ShaderSource::Wgsl(source.into()),
        });
        let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(&kernel.key),
            layout: None,
            module: &module,
            entry_point: Some("main"),
            compilation_options: wgpu::PipelineCompilationOptions {
                // Every kernel writes its workgroup memory before it reads it.
                zero_initialize_workgroup_memory: false,
                ..Default::default()
            },
            cache: None,
        });
        let compiled = Compiled { bindings: pipeline.get_bind_group_layout(0), pipeline };
        self.compiled.insert(kernel.key.clone(), compiled.clone());
        compiled
    }
}
