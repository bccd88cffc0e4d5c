//! A way through JSON along the contract's types.

use serde_json::Value;

use crate::contract::{Field, Type};

/// Calls `visit` with a value, its type and the name of its field, then with all that is in it, as far as
/// the type says what that is.
pub fn walk(
    value: &mut Value,
    ty: &Type,
    name: &str,
    visit: &mut impl FnMut(&mut Value, &Type, &str),
) {
    visit(value, ty, name);
    match ty {
        Type::List(inner) => {
            for item in value.as_array_mut().into_iter().flatten() {
                walk(item, inner, name, visit);
            }
        }
        Type::Object(shape) => fields(value, |name| shape.field(name), visit),
        Type::Union(union) => fields(value, |name| union.any_field(name), visit),
        _ => {}
    }
}

fn fields<'f>(
    value: &mut Value,
    known: impl Fn(&str) -> Option<&'f Field>,
    visit: &mut impl FnMut(&mut Value, &Type, &str),
) {
    for (name, value) in value.as_object_mut().into_iter().flatten() {
        if let Some(field) = known(name) {
            walk(value, &field.ty, name, visit);
        }
    }
}
