//! The dynamic table against one that is as simple as can be.

use std::collections::VecDeque;

use proptest::prelude::*;

use crate::http::h2::hpack::table::{DynamicTable, EntryName, EntryRef};

#[derive(Default)]
struct Model {
    entries: VecDeque<(Vec<u8>, Vec<u8>)>,
    size_max: u32,
}

impl Model {
    fn size(&self) -> u32 {
        self.entries.iter().map(|(name, value)| (name.len() + value.len() + 32) as u32).sum()
    }

    fn evict(&mut self) {
        while self.size() > self.size_max {
            self.entries.pop_back();
        }
    }
}

#[derive(Clone, Debug)]
enum Operation {
    Insert(Vec<u8>, Vec<u8>),
    InsertNamed(u32, Vec<u8>),
    Resize(u32),
}

fn any_step() -> impl Strategy<Value = Operation> {
    let bytes = |longest| proptest::collection::vec(any::<u8>(), 0..longest);
    prop_oneof![
        8 => (bytes(20), bytes(60)).prop_map(|(name, value)| Operation::Insert(name, value)),
        1 => (bytes(20), bytes(900)).prop_map(|(name, value)| Operation::Insert(name, value)),
        4 => (0u32..40, bytes(60)).prop_map(|(position, value)| Operation::InsertNamed(position, value)),
        1 => (0u32..1000).prop_map(Operation::Resize),
    ]
}

proptest! {
    #[test]
    fn same_as_the_model(steps in proptest::collection::vec(any_step(), 1..150)) {
        let mut table = DynamicTable::new(700);
        let mut model = Model { size_max: 700, ..Model::default() };
        for step in steps {
            match step {
                Operation::Insert(name, value) => {
                    table.insert(EntryName::Bytes(&name), &value, (name.len() + value.len() + 32) as u32, 7);
                    model.entries.push_front((name, value));
                }
                Operation::InsertNamed(position, value) => {
                    let Some((name, _)) = model.entries.get(position as usize).cloned() else { continue };
                    table.insert(EntryName::At(position), &value, (name.len() + value.len() + 32) as u32, 7);
                    model.entries.push_front((name, value));
                }
                Operation::Resize(size_max) => {
                    table.set_size_max(size_max);
                    model.size_max = size_max;
                }
            }
            model.evict();
            prop_assert_eq!(table.size(), model.size());
            for (position, (name, value)) in model.entries.iter().enumerate() {
                prop_assert_eq!(table.get(position as u32), Some(EntryRef { name, value, tag: 7 }));
            }
            prop_assert_eq!(table.get(model.entries.len() as u32), None);
            prop_assert_eq!(table.get(u32::MAX), None);
            prop_assert!(table.memory_bytes() <= 3 * 1000, "{}", table.memory_bytes());
        }
    }
}
