use std::marker::PhantomData;

use serde::{
    Deserializer,
    de::{DeserializeSeed, EnumAccess, MapAccess, SeqAccess, VariantAccess, Visitor},
};

use super::{
    ReadGuard, Rules, Watch,
    visitor::{Asked, Watched},
    watch::Depth,
};

/// The elements of a list.
pub(super) struct WatchedSeq<'a, R, A> {
    pub(super) inner: A,
    pub(super) watch: &'a Watch<'a>,
    pub(super) depth: Depth,
    /// How many elements may be made room for ahead of reading them.
    pub(super) places: Option<usize>,
    pub(super) rules: PhantomData<R>,
}

impl<'de, R: Rules, A: SeqAccess<'de>> SeqAccess<'de> for WatchedSeq<'_, R, A> {
    type Error = A::Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, A::Error> {
        self.places = self.places.map(|places| places.saturating_sub(1));
        self.inner.next_element_seed(Element::<R, T>::new(seed, self.watch, self.depth))
    }

    fn size_hint(&self) -> Option<usize> {
        self.places
    }
}

/// The entries of a map.
pub(super) struct WatchedMap<'a, R, A> {
    pub(super) inner: A,
    pub(super) watch: &'a Watch<'a>,
    pub(super) depth: Depth,
    /// How many entries may be made room for ahead of reading them.
    pub(super) places: Option<usize>,
    pub(super) rules: PhantomData<R>,
}

impl<'de, R: Rules, A: MapAccess<'de>> MapAccess<'de> for WatchedMap<'_, R, A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, A::Error> {
        self.places = self.places.map(|places| places.saturating_sub(1));
        self.inner.next_key_seed(Element::<R, K>::new(seed, self.watch, self.depth))
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, A::Error> {
        self.inner.next_value_seed(Element::<R, T>::new(seed, self.watch, self.depth))
    }

    fn size_hint(&self) -> Option<usize> {
        self.places
    }
}

/// One element, which is counted when it is read, and guarded itself.
struct Element<'a, R, T> {
    seed: T,
    watch: &'a Watch<'a>,
    depth: Depth,
    counted: bool,
    rules: PhantomData<R>,
}

impl<'a, R, T> Element<'a, R, T> {
    const fn new(seed: T, watch: &'a Watch<'a>, depth: Depth) -> Self {
        Self { seed, watch, depth, counted: true, rules: PhantomData }
    }
}

impl<'de, R: Rules, T: DeserializeSeed<'de>> DeserializeSeed<'de> for Element<'_, R, T> {
    type Value = T::Value;

    fn deserialize<D: Deserializer<'de>>(self, inner: D) -> Result<T::Value, D::Error> {
        let Self { seed, watch, depth, counted, rules } = self;
        if counted {
            watch.count()?;
        }
        seed.deserialize(ReadGuard::<R, D> { inner, watch, depth, rules })
    }
}

/// An enum before its variant is known.
pub(super) struct WatchedEnum<'a, R, A> {
    pub(super) inner: A,
    pub(super) watch: &'a Watch<'a>,
    pub(super) depth: Depth,
    pub(super) rules: PhantomData<R>,
}

impl<'a, 'de, R: Rules, A: EnumAccess<'de>> EnumAccess<'de> for WatchedEnum<'a, R, A> {
    type Error = A::Error;
    type Variant = WatchedVariant<'a, R, A::Variant>;

    fn variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<(T::Value, Self::Variant), A::Error> {
        let Self { inner, watch, depth, rules } = self;
        // The seed reads a name or a number, in which there is nothing to guard.
        let (variant, inner) = inner.variant_seed(seed)?;
        Ok((variant, WatchedVariant { inner, watch, depth, rules }))
    }
}

/// What a variant holds.
pub(super) struct WatchedVariant<'a, R, A> {
    inner: A,
    watch: &'a Watch<'a>,
    depth: Depth,
    rules: PhantomData<R>,
}

impl<'a, R: Rules, A> WatchedVariant<'a, R, A> {
    fn watch<V>(&self, visitor: V) -> Watched<'a, R, V> {
        Watched { visitor, watch: self.watch, depth: self.depth, asked: Asked::List, rules: PhantomData }
    }
}

impl<'de, R: Rules, A: VariantAccess<'de>> VariantAccess<'de> for WatchedVariant<'_, R, A> {
    type Error = A::Error;

    fn unit_variant(self) -> Result<(), A::Error> {
        self.inner.unit_variant()
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, A::Error> {
        let depth = self.watch.wrap(self.depth)?;
        // The enum was counted already, as an element.
        self.inner.newtype_variant_seed(Element::<R, T> { counted: false, ..Element::new(seed, self.watch, depth) })
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, A::Error> {
        let visitor = self.watch(visitor);
        self.inner.tuple_variant(len, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, A::Error> {
        let visitor = self.watch(visitor);
        self.inner.struct_variant(fields, visitor)
    }
}
