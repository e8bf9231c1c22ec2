//! The part of Python's pickle format that names the tensors of a PyTorch file, read without running anything.
//!
//! A pickle is a program for a small stack machine. Here that machine knows dictionaries, tuples, texts, numbers and
//! PyTorch's tensors; whatever else a file asks to be imported or called becomes [`Object::Opaque`], which does nothing.
//! Objects are numbers into lists that the machine owns, so that no nesting, however deep, can exhaust the program's
//! stack, and all of it takes memory in proportion to the pickle's length.

use std::collections::{BTreeMap, HashMap};

use super::entry::TensorEntry;

/// What lies on the stack. Lists are named by their numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Object {
    Mark,
    Number(i64),
    Text(usize),
    Tuple(usize),
    Dict(usize),
    /// A name that would be imported: module and name, with a dot between.
    Global(usize),
    Storage(usize),
    Tensor(usize),
    /// Anything else.
    Opaque,
}

struct Storage {
    class: String,
    name: String,
    stored: usize,
}

/// Bytes that are read from the front.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], String> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or("it ends in the middle")?;
        self.0 = rest;
        Ok(taken)
    }

    fn skip(&mut self, count: usize) -> Result<(), String> {
        self.take(count).map(|_| ())
    }

    /// A little-endian number of at most eight bytes.
    fn number(&mut self, bytes: usize) -> Result<u64, String> {
        Ok(self.take(bytes)?.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte)))
    }

    fn length(&mut self, bytes: usize) -> Result<usize, String> {
        usize::try_from(self.number(bytes)?).map_err(|_| "a length beyond all memory".to_owned())
    }

    fn line(&mut self) -> Result<&'a [u8], String> {
        let end = self.0.iter().position(|&byte| byte == b'\n').ok_or("it ends in the middle")?;
        let line = self.take(end)?;
        self.skip(1)?;
        Ok(line)
    }
}

#[derive(Default)]
struct Machine {
    stack: Vec<Object>,
    memo: HashMap<u64, Object>,
    texts: Vec<String>,
    tuples: Vec<Vec<Object>>,
    dicts: Vec<Vec<(Object, Object)>>,
    storages: Vec<Storage>,
    tensors: Vec<TensorEntry>,
}

/// More tensors, more axes, and longer names of storages than any model has.
const MAX_TENSORS: usize = 1 << 17;
const MAX_AXES: usize = 16;
const MAX_NAME: usize = 256;
const TOO_MANY: &str = "it has more tensors than any model";

/// Names below which training scripts put the weights.
const WRAPPERS: [&str; 4] = ["state_dict", "model", "model_state_dict", "teacher"];

/// The tensors of a pickled dictionary, or of the dictionary of weights inside it.
pub(super) fn read_tensors(pickle: &[u8]) -> Result<BTreeMap<String, TensorEntry>, String> {
    let mut machine = Machine::default();
    let Object::Dict(root) = machine.run(pickle)? else {
        return Err("it holds no dictionary of weights".to_owned());
    };
    let tensors = machine.tensors_of(root)?;
    if !tensors.is_empty() {
        return Ok(tensors);
    }
    for wrapper in WRAPPERS {
        for &(key, value) in &machine.dicts[root] {
            if let (Some(key), Object::Dict(inner)) = (machine.text(key), value)
                && key == wrapper
            {
                return machine.tensors_of(inner);
            }
        }
    }
    Err("it holds no tensors".to_owned())
}

impl Machine {
    fn text(&self, object: Object) -> Option<&str> {
        match object {
            Object::Text(at) | Object::Global(at) => self.texts.get(at).map(String::as_str),
            _ => None,
        }
    }

    fn tuple(&self, object: Object) -> Option<&[Object]> {
        match object {
            Object::Tuple(at) => self.tuples.get(at).map(Vec::as_slice),
            _ => None,
        }
    }

    fn tensors_of(&self, dict: usize) -> Result<BTreeMap<String, TensorEntry>, String> {
        let mut tensors = BTreeMap::new();
        for &(key, value) in &self.dicts[dict] {
            if let (Some(key), Object::Tensor(at)) = (self.text(key), value) {
                tensors.insert(key.to_owned(), self.tensors[at].clone());
                if tensors.len() > MAX_TENSORS {
                    return Err(TOO_MANY.to_owned());
                }
            }
        }
        Ok(tensors)
    }

    fn pop(&mut self) -> Result<Object, String> {
        self.stack.pop().ok_or_else(|| "it takes more from its stack than it has put there".to_owned())
    }

    /// What lies above the last mark.
    fn since_mark(&mut self) -> Result<Vec<Object>, String> {
        let mark = self.stack.iter().rposition(|object| *object == Object::Mark);
        let mark = mark.ok_or("it looks for a mark that is not there")?;
        let above = self.stack.split_off(mark + 1);
        self.stack.pop();
        Ok(above)
    }

    fn push_text(&mut self, bytes: &[u8]) {
        self.texts.push(String::from_utf8_lossy(bytes).into_owned());
        self.stack.push(Object::Text(self.texts.len() - 1));
    }

    fn push_tuple(&mut self, parts: Vec<Object>) {
        self.tuples.push(parts);
        self.stack.push(Object::Tuple(self.tuples.len() - 1));
    }

    fn push_dict(&mut self, entries: Vec<(Object, Object)>) {
        self.dicts.push(entries);
        self.stack.push(Object::Dict(self.dicts.len() - 1));
    }

    fn push_global(&mut self, module: &[u8], name: &[u8]) {
        let (module, name) = (String::from_utf8_lossy(module), String::from_utf8_lossy(name));
        self.texts.push(format!("{module}.{name}"));
        self.stack.push(Object::Global(self.texts.len() - 1));
    }

    /// Puts pairs of keys and values into the dictionary on top of the stack.
    fn set_items(&mut self, items: &[Object]) {
        if let Some(&Object::Dict(at)) = self.stack.last() {
            self.dicts[at].extend(items.chunks_exact(2).map(|pair| (pair[0], pair[1])));
        }
    }

    /// Runs the program to its end.
    fn run(&mut self, pickle: &[u8]) -> Result<Object, String> {
        let mut bytes = Bytes(pickle);
        loop {
            let code = bytes.take(1)?[0];
            match code {
                b'.' => return self.pop(),
                // The version, a frame's length.
                0x80 => bytes.skip(1)?,
                0x95 => bytes.skip(8)?,
                b'(' => self.stack.push(Object::Mark),
                b'0' => {
                    self.pop()?;
                }
                b'1' => {
                    self.since_mark()?;
                }
                b'N' | 0x88 | 0x89 | b']' | 0x8f => self.stack.push(Object::Opaque),
                b'K' | b'M' | b'J' => self.small_number(code, &mut bytes)?,
                0x8a => self.long_number(&mut bytes)?,
                b'G' => {
                    bytes.skip(8)?;
                    self.stack.push(Object::Opaque);
                }
                b'X' | 0x8c | 0x8d => {
                    let length = bytes.length(match code {
                        b'X' => 4,
                        0x8c => 1,
                        _ => 8,
                    })?;
                    self.push_text(bytes.take(length)?);
                }
                b'U' | b'C' | b'T' | b'B' => {
                    let length = bytes.length(if matches!(code, b'U' | b'C') { 1 } else { 4 })?;
                    bytes.skip(length)?;
                    self.stack.push(Object::Opaque);
                }
                b'c' => {
                    let (module, name) = (bytes.line()?, bytes.line()?);
                    self.push_global(module, name);
                }
                b'q' => self.remember(bytes.number(1)?)?,
                b'r' => self.remember(bytes.number(4)?)?,
                0x94 => self.remember(self.memo.len() as u64)?,
                b'h' => self.recall(bytes.number(1)?)?,
                b'j' => self.recall(bytes.number(4)?)?,
                _ => self.build(code)?,
            }
        }
    }

    fn small_number(&mut self, code: u8, bytes: &mut Bytes<'_>) -> Result<(), String> {
        let number = match code {
            b'K' => bytes.number(1)?.cast_signed(),
            b'M' => bytes.number(2)?.cast_signed(),
            _ => i64::from((bytes.number(4)? as u32).cast_signed()),
        };
        self.stack.push(Object::Number(number));
        Ok(())
    }

    /// A number of any length; those that do not fit are of no use here.
    fn long_number(&mut self, bytes: &mut Bytes<'_>) -> Result<(), String> {
        let length = bytes.length(1)?;
        let digits = bytes.take(length)?;
        let negative = digits.last().is_some_and(|&byte| byte > 0x7f);
        let start = if negative { -1i64 } else { 0 };
        let number = digits.iter().rev().fold(start, |number, &byte| number << 8 | i64::from(byte));
        self.stack.push(if length <= 8 { Object::Number(number) } else { Object::Opaque });
        Ok(())
    }

    fn remember(&mut self, at: u64) -> Result<(), String> {
        let top = *self.stack.last().ok_or("it remembers what is not there")?;
        self.memo.insert(at, top);
        Ok(())
    }

    fn recall(&mut self, at: u64) -> Result<(), String> {
        self.stack.push(*self.memo.get(&at).ok_or("it recalls what it has not remembered")?);
        Ok(())
    }

    /// What makes objects of others.
    fn build(&mut self, code: u8) -> Result<(), String> {
        match code {
            b')' => self.push_tuple(Vec::new()),
            b't' => {
                let parts = self.since_mark()?;
                self.push_tuple(parts);
            }
            0x85..=0x87 => {
                let count = usize::from(code - 0x84);
                let from = self.stack.len().checked_sub(count).ok_or("a tuple of what is not there")?;
                let parts = self.stack.split_off(from);
                self.push_tuple(parts);
            }
            b'}' => self.push_dict(Vec::new()),
            b'd' => {
                let items = self.since_mark()?;
                self.push_dict(items.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect());
            }
            b's' => {
                let (value, key) = (self.pop()?, self.pop()?);
                self.set_items(&[key, value]);
            }
            b'u' => {
                let items = self.since_mark()?;
                self.set_items(&items);
            }
            // Lists and sets hold nothing that is looked for; neither does the state of an object.
            b'a' | b'b' => {
                self.pop()?;
            }
            b'e' | 0x90 => {
                self.since_mark()?;
            }
            0x91 => {
                self.since_mark()?;
                self.stack.push(Object::Opaque);
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                let text = |object| self.text(object).unwrap_or_default().as_bytes().to_vec();
                let (module, name) = (text(module), text(name));
                self.push_global(&module, &name);
            }
            b'R' | 0x81 => {
                let (arguments, callable) = (self.pop()?, self.pop()?);
                self.call(callable, arguments)?;
            }
            b'Q' => {
                let id = self.pop()?;
                let storage = self.storage(id).ok_or("a storage that is none of PyTorch's")?;
                self.storages.push(storage);
                self.stack.push(Object::Storage(self.storages.len() - 1));
            }
            other => return Err(format!("the operation {other:#04x} is none that PyTorch writes")),
        }
        Ok(())
    }

    /// What a call would give, for the few that are known.
    fn call(&mut self, callable: Object, arguments: Object) -> Result<(), String> {
        match self.text(callable) {
            Some("collections.OrderedDict") => self.push_dict(Vec::new()),
            Some("torch._utils._rebuild_tensor_v2" | "torch._utils._rebuild_tensor") => {
                // Each has a copy of its shape and names, however little the pickle spends on it.
                if self.tensors.len() == MAX_TENSORS {
                    return Err(TOO_MANY.to_owned());
                }
                let tensor = self.tensor(arguments)?;
                self.stack.push(tensor.map_or(Object::Opaque, |tensor| {
                    self.tensors.push(tensor);
                    Object::Tensor(self.tensors.len() - 1)
                }));
            }
            Some("torch._utils._rebuild_parameter") => {
                let data = self.tuple(arguments).and_then(|arguments| arguments.first().copied());
                self.stack.push(data.unwrap_or(Object::Opaque));
            }
            _ => self.stack.push(Object::Opaque),
        }
        Ok(())
    }

    /// `("storage", class, name, place, elements)`.
    fn storage(&self, id: Object) -> Option<Storage> {
        let &[_, class, name, _, Object::Number(stored)] = self.tuple(id)? else { return None };
        let (class, name) = (self.text(class)?, self.text(name)?);
        Some(Storage {
            class: class.rsplit('.').next().filter(|class| class.len() <= MAX_NAME)?.to_owned(),
            name: Some(name).filter(|name| name.len() <= MAX_NAME)?.to_owned(),
            stored: usize::try_from(stored).ok()?,
        })
    }

    /// `(storage, offset, shape, strides, ..)`.
    fn tensor(&self, arguments: Object) -> Result<Option<TensorEntry>, String> {
        let Some(&[Object::Storage(storage), Object::Number(offset), shape, strides, ..]) =
            self.tuple(arguments)
        else {
            return Ok(None);
        };
        if let Some(shape) = self.tuple(shape).filter(|shape| shape.len() > MAX_AXES) {
            return Err(format!("a tensor has {} axes, more than any weight", shape.len()));
        }
        let lengths = |object| {
            let lengths = self.tuple(object)?.iter().map(|&length| match length {
                Object::Number(length) => usize::try_from(length).ok(),
                _ => None,
            });
            lengths.collect::<Option<Vec<_>>>()
        };
        let storage = &self.storages[storage];
        let (Some(shape), Some(strides)) = (lengths(shape), lengths(strides)) else { return Ok(None) };
        Ok((shape.len() == strides.len()).then(|| TensorEntry {
            storage: storage.name.clone(),
            class: storage.class.clone(),
            stored: storage.stored,
            offset: usize::try_from(offset).unwrap_or(usize::MAX),
            shape,
            strides,
        }))
    }
}
