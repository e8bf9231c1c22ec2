//! A LoRA's file, whichever tool wrote it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use candle_core::{DType, Tensor as Value};
use mudi_diffusion::lora::names::{Layer, Layers, Part, split};

use super::LoraError;
use super::metadata::{Defaults, Scale};
use crate::weights::{NamedTensors, WeightsError, all_finite, read_safetensors, read_safetensors_metadata};

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
    /// Reads a file of PEFT, diffusers, kohya's tools or LyCORIS. PEFT's `adapter_config.json` beside it counts.
    ///
    /// # Errors
    /// A file that cannot be read, or that holds no LoRA.
    pub fn read(path: &Path) -> Result<Self, LoraError> {
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
            module.parts.insert(part, value);
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
    /// base, otherwise [`LoraError::Strangers`] where the file adapts more than is read.
    pub fn resolve(self, layers: &Layers) -> Result<BTreeMap<Layer, Module>, LoraError> {
        let context = self.modules.values().find_map(Module::context);
        if let (Some(lora), Some(base)) = (context, layers.context())
            && lora != base
        {
            return Err(LoraError::Family { path: self.path, lora, base });
        }
        let total = self.modules.len();
        let mut found = BTreeMap::new();
        let mut names = Vec::new();
        for (name, module) in self.modules {
            match layers.find(&name) {
                Some(layer) => {
                    found.insert(layer.clone(), module);
                }
                None => names.push(name),
            }
        }
        if !names.is_empty() {
            return Err(LoraError::Unmatched { path: self.path, total, names });
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
