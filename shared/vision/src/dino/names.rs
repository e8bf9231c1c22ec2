//! What weights are called.

/// The names of one kind of file.
pub(super) struct Names {
    pub(super) class_token: &'static str,
    pub(super) mask_token: &'static str,
    pub(super) positions: &'static str,
    pub(super) patches: &'static str,
    pub(super) blocks: &'static str,
    pub(super) norm: &'static str,
    pub(super) projections: ProjectionNames,
    pub(super) out: &'static str,
    pub(super) scales: [&'static str; 2],
    pub(super) gated: [&'static str; 2],
}

/// Queries, keys and values.
pub(super) enum ProjectionNames {
    /// A layer for each.
    Apart([&'static str; 3]),
    /// One layer for all three.
    Joint(&'static str),
}

/// transformers' files.
pub(super) const TRANSFORMERS: Names = Names {
    class_token: "embeddings.cls_token",
    mask_token: "embeddings.mask_token",
    positions: "embeddings.position_embeddings",
    patches: "embeddings.patch_embeddings.projection",
    blocks: "encoder.layer",
    norm: "layernorm",
    projections: ProjectionNames::Apart([
        "attention.attention.query",
        "attention.attention.key",
        "attention.attention.value",
    ]),
    out: "attention.output.dense",
    scales: ["layer_scale1.lambda1", "layer_scale2.lambda1"],
    gated: ["mlp.weights_in", "mlp.weights_out"],
};

/// The authors' files, `dinov2_vitb14_pretrain.pth`.
pub(super) const AUTHORS: Names = Names {
    class_token: "cls_token",
    mask_token: "mask_token",
    positions: "pos_embed",
    patches: "patch_embed.proj",
    blocks: "blocks",
    norm: "norm",
    projections: ProjectionNames::Joint("attn.qkv"),
    out: "attn.proj",
    scales: ["ls1.gamma", "ls2.gamma"],
    gated: ["mlp.w12", "mlp.w3"],
};
