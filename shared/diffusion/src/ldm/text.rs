//! The text encoders' names.

use super::{Part, Stored, TextEncoder, TextNames};

impl TextEncoder {
    /// Where the file has the weight that transformers calls `name`.
    pub(super) fn stored(&self, name: &str) -> Option<Stored> {
        match self.names {
            TextNames::Transformers(prefix) => Some(Stored::whole(format!("{prefix}{name}"))),
            TextNames::OpenClip { prefix, linear: true } if name == PROJECTION => {
                Some(Stored::whole(format!("{prefix}{name}")))
            }
            TextNames::OpenClip { prefix, .. } => {
                let Stored { name, part } = open_clip(name)?;
                Some(Stored { name: format!("{prefix}{name}"), part })
            }
        }
    }
}

/// The projection of the pooled state, as transformers names it.
const PROJECTION: &str = "text_projection.weight";

/// OpenCLIP's name for the weight that transformers calls `name`.
fn open_clip(name: &str) -> Option<Stored> {
    let stored = |name: &str, part| Some(Stored { name: name.to_owned(), part });
    if name == PROJECTION {
        // Multiplied from the other side.
        return stored("text_projection", Part::Transposed);
    }
    let name = name.strip_prefix("text_model.")?;
    match name {
        "embeddings.token_embedding.weight" => return stored("token_embedding.weight", Part::Whole),
        "embeddings.position_embedding.weight" => return stored("positional_embedding", Part::Whole),
        "final_layer_norm.weight" => return stored("ln_final.weight", Part::Whole),
        "final_layer_norm.bias" => return stored("ln_final.bias", Part::Whole),
        _ => {}
    }
    let (layer, inside) = name.strip_prefix("encoder.layers.")?.split_once('.')?;
    let (module, leaf) = inside.rsplit_once('.')?;
    let third = |index| {
        let name = format!("transformer.resblocks.{layer}.attn.in_proj_{leaf}");
        Some(Stored { name, part: Part::Third(index) })
    };
    let module = match module {
        "self_attn.q_proj" => return third(0),
        "self_attn.k_proj" => return third(1),
        "self_attn.v_proj" => return third(2),
        "self_attn.out_proj" => "attn.out_proj",
        "layer_norm1" => "ln_1",
        "layer_norm2" => "ln_2",
        "mlp.fc1" => "mlp.c_fc",
        "mlp.fc2" => "mlp.c_proj",
        _ => return None,
    };
    Some(Stored::whole(format!("transformer.resblocks.{layer}.{module}.{leaf}")))
}
