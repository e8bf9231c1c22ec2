//! A LoRA's file, whichever tool wrote it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use candle_core::{DType, Tensor as Value};
use mudi_diffusion::lora::names::{Layer, Layers, Part, split};

use super::LoraError;
use super::metadata::{ADAPTER_MODEL, Defaults, Scale};
use crate::weights::{NamedTensors, WeightsError, all_finite, read_safetensors, read_safetensors_metadata};

/// What diffusers calls the file of a LoRA in its folder.
const DIFFUSERS_FILE: &str = "pytorch_lora_weights.safetensors";

/// The adaptation of one layer.
#[derive(Clone, Debug)]
pub struct Module {
    /// The layer, as the file names it.
    pub name: String,
    parts: BTreeMap<Part, Value>,
    /// What the file says of its scale besides.
    known: Scale,
}

impl Module {
    /// A part, as the file holds it.
    pub(super) fn part(&self, part: Part) -> Option<&Value> {
        self.parts.get(&part)
    }

    /// All parts, as the file holds them.
    pub(super) fn parts(&self) -> impl Iterator<Item = (Part, &Value)> {
        self.parts.iter().map(|(part, value)| (*part, value))
    }

    /// `alpha / rank`; 1 where nothing says an alpha.
    pub(super) fn scale(&self, rank: usize) -> Result<f32, String> {
        let alpha = match self.part(Part::Alpha) {
            Some(alpha) => Some(
                alpha
                    .to_dtype(DType::F32)
                    .and_then(|alpha| alpha.flatten_all()?.to_vec1::<f32>())
                    .map_err(|error| error.to_string())?
                    .first()
                    .copied()
                    .ok_or("its alpha is empty")?,
            ),
            None => self.known.alpha,
        };
        let divisor = if self.known.rank_stabilized { (rank as f32).sqrt() } else { rank as f32 };
        let scale = alpha.map_or(1.0, |alpha| alpha / divisor);
        if scale.is_finite() { Ok(scale) } else { Err(format!("its alpha is {alpha:?} at rank {rank}")) }
    }

    /// The scale of factors that show no rank: PEFT says it beside its tensors, and elsewhere there is none.
    pub(super) fn scale_of_whole(&self) -> Result<f32, String> {
        match (self.part(Part::Alpha), self.known.rank) {
            (None, Some(rank)) => self.scale(rank),
            _ => Ok(1.0),
        }
    }

    /// Whether both have the same parts.
    fn is_same(&self, other: &Self) -> bool {
        let values = |value: &Value| value.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>();
        let same = |(a, b): (&Value, &Value)| {
            a.dims() == b.dims() && matches!((values(a), values(b)), (Ok(a), Ok(b)) if a == b)
        };
        self.parts.keys().eq(other.parts.keys()) && self.parts.values().zip(other.parts.values()).all(same)
    }

    /// Width of the text states that it reads, where it adapts a projection of them.
    fn context(&self) -> Option<usize> {
        if !self.name.ends_with("attn2.to_k") && !self.name.ends_with("attn2_to_k") {
            return None;
        }
        let down = [Part::Down, Part::HadaW1B, Part::Diff].into_iter().find_map(|part| self.part(part))?;
        down.dims().get(1).copied()
    }
}

/// The adaptations of a file, by the names that it gives to layers.
#[derive(Clone, Debug)]
pub struct LoraFile {
    /// Where it came from.
    pub path: PathBuf,
    modules: BTreeMap<String, Module>,
    /// Tensors of no kind that is read, sorted.
    strangers: Vec<String>,
}

impl LoraFile {
    /// Reads a file of PEFT, diffusers, kohya's tools or LyCORIS, or a folder that one of the first two has saved. PEFT's
    /// `adapter_config.json` beside it counts.
    ///
    /// # Errors
    /// A file that cannot be read, or that holds no LoRA.
    pub fn read(path: &Path) -> Result<Self, LoraError> {
        let within = |name: &&str| path.is_dir() && path.join(name).is_file();
        if let Some(name) = [ADAPTER_MODEL, DIFFUSERS_FILE].into_iter().find(within) {
            return Self::read(&path.join(name));
        }
        let defaults = match Defaults::beside(path)? {
            Some(defaults) => defaults,
            None => Defaults::of_metadata(path, &read_safetensors_metadata(path)?)?,
        };
        Self::sort(path, read_safetensors(path)?, &defaults)
    }

    /// Takes a file's tensors; `alpha` is what PEFT keeps in metadata, and is the rank where none.
    ///
    /// # Errors
    /// Tensors of which none is of a LoRA; the message calls them `path`.
    pub fn from_tensors(path: &Path, tensors: NamedTensors, alpha: Option<f32>) -> Result<Self, LoraError> {
        Self::sort(path, tensors, &Defaults::of_alpha(alpha))
    }

    fn sort(path: &Path, tensors: NamedTensors, defaults: &Defaults) -> Result<Self, LoraError> {
        let mut modules: BTreeMap<String, Module> = BTreeMap::new();
        let mut strangers = Vec::new();
        let example = tensors.keys().next().cloned().unwrap_or_default();
        for (name, value) in tensors {
            let Some((layer, part)) = split(&name) else {
                strangers.push(name);
                continue;
            };
            let module = modules.entry(layer).or_insert_with_key(|layer| Module {
                name: layer.clone(),
                parts: BTreeMap::new(),
                known: defaults.of(layer),
            });
            // What is wrong with an alpha is said where the scale is computed.
            let finite = part == Part::Alpha || all_finite(&value).map_err(|source| network(path, source))?;
            if !finite {
                return Err(LoraError::NotNumbers { path: path.to_owned(), layer: module.name.clone() });
            }
            if module.parts.insert(part, value).is_some() {
                let reason = format!("its part {part:?} is there twice");
                return Err(LoraError::Layer { path: path.to_owned(), layer: module.name.clone(), reason });
            }
        }
        if modules.is_empty() {
            return Err(LoraError::NoLora { path: path.to_owned(), example });
        }
        Ok(Self { path: path.to_owned(), modules, strangers })
    }

    /// The adaptations, by the names of the layers.
    pub(super) fn modules(&self) -> impl Iterator<Item = &Module> {
        self.modules.values()
    }

    /// The adaptation of the layer that the file calls `name`.
    pub(super) fn module(&self, name: &str) -> Option<&Module> {
        self.modules.get(name)
    }

    /// How many layers it adapts.
    #[must_use]
    pub fn len(&self) -> usize {
        self.modules.len()
    }

    /// Never: a file without layers is refused.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.modules.is_empty()
    }

    /// The largest rank of its plain factors; 0 where it has none.
    #[must_use]
    pub fn rank(&self) -> usize {
        let ranks =
            self.modules.values().filter_map(|module| module.part(Part::Down)?.dims().first().copied());
        ranks.max().unwrap_or(0)
    }

    /// Finds the layers of a base that it adapts.
    ///
    /// # Errors
    /// [`LoraError::Family`] for a base of another family, otherwise [`LoraError::Unmatched`] where a layer is not in the
    /// base, otherwise [`LoraError::Layer`] where something of a layer would be left out, otherwise [`LoraError::Strangers`] where the
    /// file adapts more than is read.
    pub fn resolve(self, layers: &Layers) -> Result<BTreeMap<Layer, Module>, LoraError> {
        let context = self.modules.values().find_map(Module::context);
        if let (Some(lora), Some(base)) = (context, layers.context())
            && lora != base
        {
            return Err(LoraError::Family { path: self.path, lora, base });
        }
        let total = self.modules.len();
        let mut found: BTreeMap<Layer, Module> = BTreeMap::new();
        let mut names = Vec::new();
        let mut unused = None;
        for (name, module) in self.modules {
            let Some(layer) = layers.find(&name) else {
                names.push(name);
                continue;
            };
            let of_bias = module.part(Part::DiffBias).or_else(|| module.part(Part::NormShift)).is_some();
            let reason = match module.stray() {
                Some(part) => Some(format!("its part {part:?} has no use beside the others")),
                None if of_bias && !layers.has_bias(layer) => {
                    Some("it changes a bias, and the base's layer has none".to_owned())
                }
                None => None,
            };
            unused = unused.or(reason.map(|reason| (name.clone(), reason)));
            // Some files have everything twice, by diffusers' names and by LDM's.
            if let Some(other) = found.get(layer).filter(|other| !other.is_same(&module)) {
                let reason = format!("`{}` is the same layer, and says something else", other.name);
                unused = unused.or(Some((name, reason)));
            }
            found.insert(layer.clone(), module);
        }
        if !names.is_empty() {
            return Err(LoraError::Unmatched { path: self.path, total, names });
        }
        if let Some((layer, reason)) = unused {
            return Err(LoraError::Layer { path: self.path, layer, reason });
        }
        if !self.strangers.is_empty() {
            return Err(LoraError::Strangers { path: self.path, names: self.strangers });
        }
        Ok(found)
    }
}

fn network(path: &Path, source: mudi_diffusion::Error) -> WeightsError {
    WeightsError::Network { path: path.to_owned(), source }
}

impl From<LoraError> for WeightsError {
    fn from(error: LoraError) -> Self {
        Self::Lora(Box::new(error))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may panic")]

    use candle_core::Device;
    use mudi_diffusion::Component;
    use mudi_diffusion::lora::names::Layers;

    use super::*;

    /// A denoiser of three layers, the first of which has no bias.
    fn layers() -> Layers {
        let layer = |path: &str| Layer { component: Component::Unet, path: path.to_owned() };
        let unet = mudi_diffusion::parse("{}").unwrap();
        Layers::new(["a.to_q", "a.norm1", "conv_in"].map(layer), &unet)
            .with_biases(["a.norm1", "conv_in"].map(layer))
    }

    fn resolved(names: &[&str]) -> Result<usize, String> {
        // A name that begins so has another value.
        let of = |name: &str| {
            Value::full(f32::from(name.starts_with("lora_unet_")), (1, 1), &Device::Cpu).unwrap()
        };
        let tensors = names.iter().map(|name| ((*name).to_owned(), of(name))).collect();
        LoraFile::from_tensors(Path::new("some.safetensors"), tensors, None)
            .and_then(|file| file.resolve(&layers()))
            .map(|found| found.len())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn nothing_of_a_layer_is_left_out() {
        let factors = ["unet.a.to_q.lora_A.weight", "unet.a.to_q.lora_B.weight"];
        let with = |more: &[&str]| resolved(&[&factors[..], more].concat());
        assert_eq!(with(&["unet.a.to_q.lora_magnitude_vector", "lora_unet_conv_in.diff_b"]), Ok(2));
        assert_eq!(with(&["lora_unet_a_norm1.w_norm", "lora_unet_a_norm1.b_norm"]), Ok(2));
        assert_eq!(with(&["a.to_q.lora_down.weight", "a.to_q.lora_up.weight"]), Ok(1), "the same twice");
        for (more, words) in [
            // Adapters with and without a name, and a name of each convention.
            (&["unet.a.to_q.lora_A.default.weight"][..], &["unet.a.to_q", "Down", "twice"][..]),
            (
                &["lora_unet_a_to_q.lora_down.weight", "lora_unet_a_to_q.lora_up.weight"],
                &["unet.a.to_q", "lora_unet_a_to_q", "same layer"],
            ),
            (&["unet.a.to_q.hada_w1_a"], &["unet.a.to_q", "Down", "no use"]),
            (&["unet.a.to_q.diff"], &["unet.a.to_q", "Down", "no use"]),
            (
                &["unet.a.to_q.lora_magnitude_vector", "unet.a.to_q.dora_scale"],
                &["unet.a.to_q", "DoraScale", "no use"],
            ),
            (&["unet.a.to_q.diff_b"], &["unet.a.to_q", "bias", "none"]),
        ] {
            let error = with(more).unwrap_err();
            assert!(error.contains("some.safetensors"), "{error}");
            for word in words {
                assert!(error.contains(word), "{more:?}: {word:?} is not in: {error}");
            }
        }
    }
}
