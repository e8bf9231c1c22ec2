//! What each operation of the engine costs.

use mudi_diffusion::{Activation, ConvGeometry, Engine, Error, Result, ScoreBias};

use super::{Cost, Counted, CountingEngine, F32};

/// Positions in one tile of a convolution, with weights in four and in two bytes.
const TILES: [usize; 2] = [512, 1024];
/// A convolution by minimal filtering: values of its transformed weights for each output and input, positions of a block
/// of tiles (its inputs and products are held), the most weights that are transformed.
const FILTERING: [usize; 3] = [16, 16 * 64, 1 << 19];
/// Values that a thread decodes of weights in two bytes.
const DECODED: usize = 1 << 18;

impl CountingEngine {
    fn attention_cost<'a>(&self, q: &'a Counted, k: &'a Counted, v: &'a Counted) -> Cost<'a> {
        const TILE: usize = 128;
        let scores = F32 * self.threads * TILE.min(q.shape[1]) * k.shape[1];
        Cost {
            saved: vec![q, k, v],
            // Results are made head by head, then joined.
            forward: scores + q.bytes(),
            backward: 2 * scores + q.bytes() + k.bytes() + v.bytes(),
            passes_on: false,
        }
    }
}

impl Engine for CountingEngine {
    type Tensor = Counted;

    fn from_slice(&self, _: &[f32], shape: &[usize]) -> Result<Counted> {
        Ok(self.result(shape.to_vec(), &[], &Cost::default()))
    }

    fn to_vec(&self, _: &Counted) -> Result<Vec<f32>> {
        Err(Error::Input { name: "tensor", reason: "a counting engine has no values".to_owned() })
    }

    fn shape(&self, x: &Counted) -> Vec<usize> {
        x.shape.clone()
    }

    fn reshape(&self, x: &Counted, shape: &[usize]) -> Result<Counted> {
        let cost = Cost { passes_on: true, ..Cost::default() };
        let node = self.link(x.bytes(), &[x], &cost);
        Ok(Counted { shape: shape.to_vec(), held: x.held.clone(), node })
    }

    fn linear(&self, x: &Counted, weight: &Counted, bias: Option<&Counted>) -> Result<Counted> {
        let mut inputs = vec![x, weight];
        inputs.extend(bias);
        let saved = if weight.tracked() { vec![x] } else { vec![] };
        let decoded = if self.half && !weight.tracked() { self.threads * F32 * DECODED } else { 0 };
        // Where a product is cut by rows, the weights are laid with their outputs side by side.
        let by_rows = !self.half && x.elements() >= weight.elements();
        let laid = if by_rows { weight.bytes() } else { 0 };
        let cost = Cost { saved, forward: decoded + laid, backward: decoded, passes_on: false };
        Ok(self.result(x.with_last(weight.shape[0]), &inputs, &cost))
    }

    fn conv2d(
        &self,
        x: &Counted,
        weight: &Counted,
        bias: Option<&Counted>,
        geometry: ConvGeometry,
    ) -> Result<Counted> {
        let (kh, kw) = (weight.shape[1], weight.shape[2]);
        let shape = vec![
            x.shape[0],
            geometry.output(x.shape[1], kh),
            geometry.output(x.shape[2], kw),
            weight.shape[0],
        ];
        let positions: usize = shape[..3].iter().product();
        // The engine refuses what is empty.
        let tile = TILES[usize::from(self.half)].min(positions).max(1);
        // Tiles with decoded weights go one after the other.
        let tiles = if self.half { 1 } else { self.threads.min(positions.div_ceil(tile)) };
        let patches =
            |channels: usize| if kh * kw == 1 { 0 } else { F32 * tiles * tile * kh * kw * channels };
        let (outputs, channels) = (weight.shape[0], x.last());
        let [values, block, most] = FILTERING;
        let filters = kh * kw == 9 && geometry.stride == 1 && !self.half && outputs * channels <= most;
        let filtering = if filters {
            F32 * (values * outputs * channels + self.threads * block * (outputs + channels))
        } else {
            0
        };
        let decoded = if self.half { weight.bytes() } else { 0 };
        let mut inputs = vec![x, weight];
        inputs.extend(bias);
        let cost = Cost {
            saved: if weight.tracked() { vec![x] } else { vec![] },
            // The weights with their outputs side by side, or decoded in bands.
            forward: patches(channels).max(filtering)
                + if self.half { decoded.min(self.threads * F32 * DECODED) } else { weight.bytes() },
            // The turned weights, beside the decoded ones.
            backward: patches(outputs).max(filtering)
                + if kh * kw == 1 { 0 } else { weight.bytes() + decoded },
            passes_on: false,
        };
        Ok(self.result(shape, &inputs, &cost))
    }

    fn depthwise_conv2d(
        &self,
        x: &Counted,
        weight: &Counted,
        bias: Option<&Counted>,
        geometry: ConvGeometry,
    ) -> Result<Counted> {
        let [height, width] = [1, 2].map(|axis| geometry.output(x.shape[axis], weight.shape[axis]));
        let mut inputs = vec![x, weight];
        inputs.extend(bias);
        let saved = if weight.tracked() { vec![x] } else { vec![] };
        let cost = Cost { saved, ..Cost::default() };
        Ok(self.result(vec![x.shape[0], height, width, x.last()], &inputs, &cost))
    }

    fn group_norm(
        &self,
        x: &Counted,
        weight: &Counted,
        bias: &Counted,
        _: usize,
        _: f32,
        _: Option<Activation>,
    ) -> Result<Counted> {
        Ok(self.result(x.shape.clone(), &[x, weight, bias], &Cost { saved: vec![x], ..Cost::default() }))
    }

    fn layer_norm(&self, x: &Counted, weight: &Counted, bias: &Counted, _: f32) -> Result<Counted> {
        Ok(self.result(x.shape.clone(), &[x, weight, bias], &Cost { saved: vec![x], ..Cost::default() }))
    }

    fn attention(&self, q: &Counted, k: &Counted, v: &Counted, _: usize, _: bool) -> Result<Counted> {
        Ok(self.result(q.shape.clone(), &[q, k, v], &self.attention_cost(q, k, v)))
    }

    fn biased_attention(
        &self,
        q: &Counted,
        k: &Counted,
        v: &Counted,
        heads: usize,
        bias: ScoreBias<'_, Counted>,
    ) -> Result<Counted> {
        let mut inputs = vec![q, k, v];
        match bias {
            ScoreBias::Full(bias) => inputs.push(bias),
            ScoreBias::Relative { rows, columns, .. } => inputs.extend([rows, columns]),
        }
        let mut cost = self.attention_cost(q, k, v);
        cost.saved = inputs.clone();
        if inputs[3..].iter().any(|part| part.tracked()) {
            // Head by head, before they are joined or summed over samples.
            cost.backward += match bias {
                ScoreBias::Full(_) => F32 * q.shape[0] * heads * q.shape[1] * k.shape[1],
                ScoreBias::Relative { rows, columns, .. } => rows.bytes() + columns.bytes(),
            };
        }
        Ok(self.result(q.shape.clone(), &inputs, &cost))
    }

    fn activation(&self, x: &Counted, _: Activation) -> Result<Counted> {
        Ok(self.result(x.shape.clone(), &[x], &Cost { saved: vec![x], ..Cost::default() }))
    }

    fn geglu(&self, x: &Counted) -> Result<Counted> {
        Ok(self.result(x.with_last(x.last() / 2), &[x], &Cost { saved: vec![x], ..Cost::default() }))
    }

    fn upsample_nearest(&self, x: &Counted, height: usize, width: usize) -> Result<Counted> {
        Ok(self.result(vec![x.shape[0], height, width, x.last()], &[x], &Cost::default()))
    }

    fn add(&self, a: &Counted, b: &Counted) -> Result<Counted> {
        Ok(self.result(a.shape.clone(), &[a, b], &Cost { passes_on: true, ..Cost::default() }))
    }

    fn add_per_sample(&self, x: &Counted, v: &Counted) -> Result<Counted> {
        Ok(self.result(x.shape.clone(), &[x, v], &Cost { passes_on: true, ..Cost::default() }))
    }

    fn add_positions(&self, x: &Counted, table: &Counted) -> Result<Counted> {
        Ok(self.result(x.shape.clone(), &[x, table], &Cost { passes_on: true, ..Cost::default() }))
    }

    fn scale(&self, x: &Counted, _: f32) -> Result<Counted> {
        Ok(self.result(x.shape.clone(), &[x], &Cost::default()))
    }

    fn mul(&self, x: &Counted, by: &Counted) -> Result<Counted> {
        let mut saved = Vec::new();
        saved.extend(by.tracked().then_some(x));
        saved.extend(x.tracked().then_some(by));
        let backward = if by.tracked() { x.bytes() } else { 0 };
        Ok(self.result(x.shape.clone(), &[x, by], &Cost { saved, backward, ..Cost::default() }))
    }

    fn concat(&self, a: &Counted, b: &Counted, axis: usize) -> Result<Counted> {
        let mut shape = a.shape.clone();
        shape[axis] += b.shape[axis];
        Ok(self.result(shape, &[a, b], &Cost::default()))
    }

    fn slice(&self, x: &Counted, axis: usize, _: usize, length: usize) -> Result<Counted> {
        let mut shape = x.shape.clone();
        shape[axis] = length;
        Ok(self.result(shape, &[x], &Cost::default()))
    }

    fn permute(&self, x: &Counted, axes: &[usize]) -> Result<Counted> {
        Ok(self.result(axes.iter().map(|&axis| x.shape[axis]).collect(), &[x], &Cost::default()))
    }

    fn embedding(&self, table: &Counted, ids: &[u32], batch: usize) -> Result<Counted> {
        Ok(self.result(vec![batch, ids.len() / batch.max(1), table.last()], &[table], &Cost::default()))
    }

    fn select_positions(&self, x: &Counted, at: &[usize]) -> Result<Counted> {
        Ok(self.result(vec![at.len(), x.last()], &[x], &Cost::default()))
    }
}
