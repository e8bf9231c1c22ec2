// The denoiser of one model, by the page's two engines and by ONNX Runtime, in turns. What is found stands in `window.found`,
// what went wrong in `window.failure`, and how far it is in `window.progress`.

const ROUNDS = Number(new URLSearchParams(location.search).get("rounds")) || 10;

const random = (count) => Float32Array.from({ length: count }, () => Math.random() * 2 - 1);
const size = (shape) => shape.reduce((a, b) => a * b, 1);

/** [B, C, H, W] to [B, H, W, C]. */
function channelsLast(values, [batch, channels, height, width]) {
    const moved = new Float32Array(values.length);
    const area = height * width;
    for (let b = 0; b < batch; b++)
        for (let c = 0; c < channels; c++)
            for (let at = 0; at < area; at++)
                moved[(b * area + at) * channels + c] = values[(b * channels + c) * area + at];
    return moved;
}

async function bytes(path) {
    const answer = await fetch(path);
    if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
    return new Uint8Array(await answer.arrayBuffer());
}

const text = async (path) => new TextDecoder().decode(await bytes(path));

async function ours(device, config, weights, inputs) {
    const { default: start, Denoiser, Device } = await import("./ours/denoiser.js");
    await start();
    const denoiser = await Denoiser.start(Device[device], config, weights);
    const { sample, timestep, context, pooled, time_ids } = inputs.ours;
    return {
        about: denoiser.about(),
        step: () => denoiser.step(sample, timestep, context, pooled, time_ids),
        work: () => JSON.parse(denoiser.work() ?? "null"),
    };
}

async function theirs(gpu, network, inputs) {
    const ort = await import(gpu ? "./onnxruntime/ort.webgpu.min.mjs" : "./onnxruntime/ort.wasm.min.mjs");
    // One thread, as ours: more need a page that is isolated from all others.
    ort.env.wasm.numThreads = 1;
    ort.env.wasm.wasmPaths = new URL("./onnxruntime/", location.href).href;
    ort.env.logLevel = "error";
    const session = await ort.InferenceSession.create(network, {
        executionProviders: [gpu ? "webgpu" : "wasm"],
        graphOptimizationLevel: "all",
    });
    return {
        step: async () => {
            const given = Object.entries(inputs.theirs);
            const feeds = given.map(([name, [values, shape]]) => [name, new ort.Tensor("float32", values, shape)]);
            const { prediction } = await session.run(Object.fromEntries(feeds));
            return prediction.getData();
        },
    };
}

async function timed(engine) {
    const begun = performance.now();
    const values = await engine.step();
    return [performance.now() - begun, values];
}

/** The largest difference, as a share of the expected values' range. */
function apart(found, expected) {
    let [low, high, furthest] = [Infinity, -Infinity, 0];
    if (found.length !== expected.length) return Infinity;
    for (let i = 0; i < expected.length; i++) {
        const difference = Math.abs(found[i] - expected[i]);
        if (!(difference <= furthest)) furthest = Number.isNaN(difference) ? Infinity : difference;
        low = Math.min(low, expected[i]);
        high = Math.max(high, expected[i]);
    }
    return furthest / (high - low);
}

async function compare(device, config, weights, network, inputs, shapes) {
    window.progress = `${device}: loading`;
    const mine = await ours(device, config, weights, inputs);
    const other = await theirs(device !== "Processor", network, inputs);
    window.progress = `${device}: first steps`;
    const [first, myValues] = await timed(mine);
    const [otherFirst, otherValues] = await timed(other);
    const error = apart(myValues, channelsLast(otherValues, shapes.sample));
    mine.work();
    const times = { ours: [], reference: [] };
    let work = null;
    for (let round = 0; round < ROUNDS; round++) {
        window.progress = `${device}: round ${round + 1} of ${ROUNDS}`;
        times.ours.push((await timed(mine))[0]);
        work ??= mine.work();
        times.reference.push((await timed(other))[0]);
    }
    return { about: mine.about, error, first: { ours: first, reference: otherFirst }, times, work };
}

async function main() {
    const shapes = JSON.parse(await text("shapes.json"));
    const [config, weights, network] = [await text("config.json"), await bytes("denoiser.safetensors"), await bytes("denoiser.onnx")];
    const values = Object.fromEntries(Object.entries(shapes).map(([name, shape]) => [name, random(size(shape))]));
    values.timestep.fill(500);
    values.time_ids.set([96, 96, 0, 0, 96, 96, 96, 96, 0, 0, 96, 96]);
    const inputs = {
        ours: { ...values, sample: channelsLast(values.sample, shapes.sample) },
        theirs: Object.fromEntries(Object.entries(values).map(([name, given]) => [name, [given, shapes[name]]])),
    };
    const found = {};
    for (const device of ["Gpu", "GpuAsReal", "Processor"])
        found[device] = await compare(device, config, weights, network, inputs, shapes);
    window.found = found;
}

main().catch((error) => {
    window.failure = String(error?.stack ?? error);
});
