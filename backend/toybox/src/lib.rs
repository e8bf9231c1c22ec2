//! The toybox: a renderer of plush toys whose masks, boxes and identities are known exactly.
