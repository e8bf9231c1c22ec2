//! The only module with `unsafe` code: matrix products through pointers, and memory that is written before it is read.
#![allow(unsafe_code)]

mod bf16;
mod fresh;
mod gemm;

pub(crate) use bf16::{Bf16Unit, RightSide as Bf16Right, Runs};
pub(crate) use fresh::{Fresh, beside, build, build_with, map, map2, zeros};
pub(crate) use gemm::{Matrix, RightSide, product, product_by_columns, product_fresh, product_into};
