"""The reference's side of `mudi bench`: PyTorch, diffusers and peft doing the jobs that come on standard input.

Lines in: a job as JSON (prepared, and done once as warm-up), `run`, `peak`. Lines out: `ready`, seconds, bytes; or `error`
and a message.
"""

import json
import os
import resource
import sys
import time

# A waiting thread that spins takes the processor from the side whose turn it is.
os.environ["OMP_WAIT_POLICY"] = "PASSIVE"

import torch
import torch.nn.functional as F

RANK = 32


def load_unet(base, precision):
    from diffusers import UNet2DConditionModel

    dtype = {"f32": torch.float32, "bf16": torch.bfloat16}[precision]
    return UNet2DConditionModel.from_pretrained(base, subfolder="unet", torch_dtype=dtype)


def unet_input(unet, batch, side, tokens):
    config, dtype = unet.config, unet.dtype
    added = None
    if config.addition_embed_type == "text_time":
        width = config.projection_class_embeddings_input_dim - 6 * config.addition_time_embed_dim
        added = {
            "text_embeds": torch.randn(batch, width, dtype=dtype),
            "time_ids": torch.full((batch, 6), 96.0, dtype=dtype),
        }
    return {
        "sample": torch.randn(batch, config.in_channels, side, side, dtype=dtype),
        "timestep": torch.full((batch,), 500),
        "encoder_hidden_states": torch.randn(batch, tokens, config.cross_attention_dim, dtype=dtype),
        "added_cond_kwargs": added,
    }


def sampling(job):
    from diffusers import EulerDiscreteScheduler, StableDiffusionXLPipeline

    pipe = StableDiffusionXLPipeline.from_pretrained(job["base"], torch_dtype=torch.float32)
    pipe.scheduler = EulerDiscreteScheduler.from_config(pipe.scheduler.config)
    pipe.set_progress_bar_config(disable=True)
    side = pipe.unet.config.sample_size * pipe.vae_scale_factor
    tokens = pipe.text_encoder.config.max_position_embeddings
    for tokenizer in (pipe.tokenizer, pipe.tokenizer_2):
        tokenizer.model_max_length = tokens

    def work():
        pipe(
            "a photo of a red bear",
            num_inference_steps=job["steps"],
            guidance_scale=5.0,
            height=side,
            width=side,
            output_type="np",
        )

    return work


def forward(job):
    unet = load_unet(job["base"], job["precision"]).requires_grad_(False)
    given = unet_input(unet, job["batch"], job["side"], job["tokens"])

    def work():
        with torch.no_grad():
            unet(**given).sample

    return work


def lora(job):
    from peft import LoraConfig

    unet = load_unet(job["base"], job["precision"]).requires_grad_(False)
    targets = ["to_q", "to_k", "to_v", "to_out.0"]
    unet.add_adapter(LoraConfig(r=RANK, lora_alpha=RANK, init_lora_weights="gaussian", target_modules=targets))
    if job["checkpointing"]:
        unet.enable_gradient_checkpointing()
    unet.train()
    learned = [weight for weight in unet.parameters() if weight.requires_grad]
    for weight in learned:
        weight.data = weight.data.float() if job["precision"] == "f32" else weight.data
    optimizer = torch.optim.AdamW(learned, lr=1e-4)
    given = unet_input(unet, job["batch"], job["side"], job["tokens"])
    target = torch.randn_like(given["sample"])

    def work():
        loss = F.mse_loss(unet(**given).sample, target)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(learned, 1.0)
        optimizer.step()

    return work


def pretraining(job):
    from diffusers import UNet2DConditionModel
    from transformers import CLIPTextModel, CLIPTextModelWithProjection

    base, batch = job["base"], job["batch"]
    load = {"torch_dtype": torch.float32}
    first = CLIPTextModel.from_pretrained(base, subfolder="text_encoder", **load)
    second = CLIPTextModelWithProjection.from_pretrained(base, subfolder="text_encoder_2", **load)
    unet = UNet2DConditionModel.from_pretrained(base, subfolder="unet", **load)
    networks = [first.train(), second.train(), unet.train()]
    named = [pair for network in networks for pair in network.named_parameters()]
    weights = [weight for _, weight in named]
    average = [weight.detach().clone() for weight in weights]
    outer = ("conv_in.weight", "conv_out.weight", "embedding.weight")
    inner = [weight for name, weight in named if weight.ndim > 1 and not name.endswith(outer)]
    # Muon takes matrices only: convolutions are seen as such.
    matrices = [torch.nn.Parameter(weight.detach().view(len(weight), -1)) for weight in inner]
    muon = torch.optim.Muon(matrices, lr=1e-4, weight_decay=1e-2, adjust_lr_fn="match_rms_adamw")
    apart = {id(weight) for weight in inner}
    others = [weight for weight in weights if id(weight) not in apart]
    adamw = torch.optim.AdamW(others, lr=1e-4, betas=(0.9, 0.99), weight_decay=1e-2)
    tokens, side = first.config.max_position_embeddings, unet.config.sample_size
    ids = (torch.arange(batch * tokens) % 100).reshape(batch, tokens)
    noisy = torch.randn(batch, unet.config.in_channels, side, side)
    noise = torch.randn_like(noisy)
    time_ids = torch.tensor([8.0 * side, 8.0 * side, 0, 0, 8.0 * side, 8.0 * side]).repeat(batch, 1)

    def work():
        text = first(ids, output_hidden_states=True)
        text_2 = second(ids, output_hidden_states=True)
        states = torch.cat([text.hidden_states[-2], text_2.hidden_states[-2]], -1)
        added = {"text_embeds": text_2.text_embeds, "time_ids": time_ids}
        found = unet(noisy, torch.full((batch,), 500), states, added_cond_kwargs=added).sample
        loss = F.mse_loss(found, noise)
        for weight in weights:
            weight.grad = None
        loss.backward()
        torch.nn.utils.clip_grad_norm_([w for w in weights if w.grad is not None], 1.0)
        for matrix, weight in zip(matrices, inner):
            matrix.grad = None if weight.grad is None else weight.grad.view(matrix.shape)
        muon.step()
        adamw.step()
        with torch.no_grad():
            torch._foreach_lerp_(average, weights, 1e-3)

    return work


def operation(job):
    what, gradient = job["operation"], job["gradient"]
    kind = what["operation"]

    def given(*shape):
        return torch.randn(*shape).requires_grad_(gradient)

    # Weights are frozen, as they are where a LoRA learns.
    if kind == "conv":
        x = given(what["batch"], what["inputs"], what["side"], what["side"])
        w = torch.randn(what["outputs"], what["inputs"], what["kernel"], what["kernel"])
        b = torch.randn(what["outputs"])
        call = lambda: F.conv2d(x, w, b, padding=what["kernel"] // 2)
    elif kind == "linear":
        x = given(what["rows"], what["inputs"])
        w, b = torch.randn(what["outputs"], what["inputs"]), torch.randn(what["outputs"])
        call = lambda: F.linear(x, w, b)
    elif kind == "attention":
        batch, channels, heads = what["batch"], what["channels"], what["heads"]
        q = given(batch, what["queries"], channels)
        k, v = given(batch, what["keys"], channels), given(batch, what["keys"], channels)
        split = lambda t: t.view(batch, -1, heads, channels // heads).transpose(1, 2)

        def call():
            y = F.scaled_dot_product_attention(split(q), split(k), split(v))
            return y.transpose(1, 2).reshape(batch, -1, channels)

    elif kind == "group_norm_silu":
        x = given(what["batch"], what["channels"], what["side"], what["side"])
        w, b = torch.randn(what["channels"]), torch.randn(what["channels"])
        call = lambda: F.silu(F.group_norm(x, 32, w, b, 1e-5))
    elif kind == "layer_norm":
        x = given(what["rows"], what["channels"])
        w, b = torch.randn(what["channels"]), torch.randn(what["channels"])
        call = lambda: F.layer_norm(x, (what["channels"],), w, b)
    elif kind == "geglu":
        x = given(what["rows"], 2 * what["channels"])

        def call():
            a, gate = x.chunk(2, -1)
            return a * F.gelu(gate)

    elif kind == "silu":
        x = given(what["rows"], what["channels"])
        call = lambda: F.silu(x)
    elif kind == "upsample":
        x = given(what["batch"], what["channels"], what["side"], what["side"])
        call = lambda: F.interpolate(x, scale_factor=2.0, mode="nearest")
    elif kind == "concat":
        a, b = given(what["rows"], what["channels"]), given(what["rows"], what["channels"])
        call = lambda: torch.cat([a, b], -1)
    seed = torch.randn_like(call())

    def work():
        for _ in range(job["repeat"]):
            if gradient:
                call().backward(seed)
            else:
                with torch.no_grad():
                    call()

    return work


def owlv2(job):
    from transformers import Owlv2Config, Owlv2ForObjectDetection

    model = Owlv2ForObjectDetection(Owlv2Config(vision_config={"image_size": 960})).eval()
    pixels = torch.randn(1, 3, 960, 960)
    ids = torch.zeros(2, 16, dtype=torch.int64)
    ids[0, :4] = torch.tensor([49406, 320, 1929, 49407])
    ids[1, :6] = torch.tensor([49406, 320, 2368, 17240, 4298, 49407])

    def work():
        with torch.no_grad():
            model(pixel_values=pixels, input_ids=ids)

    return work


def sam(job):
    from transformers import SamConfig, SamModel

    model = SamModel(SamConfig()).eval()
    pixels = torch.randn(1, 3, 1024, 1024)

    def work():
        with torch.no_grad():
            model.get_image_embeddings(pixels)

    return work


JOBS = {
    "owlv2": owlv2,
    "sam": sam,
    "sampling": sampling,
    "forward": forward,
    "lora": lora,
    "pretraining": pretraining,
    "operation": operation,
}


def main():
    # Libraries may print; the pipe is for answers only.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    torch.manual_seed(0)
    torch.set_num_threads(int(sys.argv[1]))
    work = None
    for line in sys.stdin:
        try:
            if line.strip() == "peak":
                answer = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
            elif line.strip() == "run":
                begin = time.perf_counter()
                work()
                answer = time.perf_counter() - begin
            else:
                work = None
                job = json.loads(line)
                work = JOBS[job["kind"]](job)
                work()
                answer = "ready"
        except Exception as error:
            text = f"{type(error).__name__}: {error}".splitlines()[0]
            answer = f"error {text}"
        print(answer, file=answers, flush=True)


main()
