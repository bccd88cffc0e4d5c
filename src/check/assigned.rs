//! The first walk over a script: what is assigned to.

use std::collections::HashSet;

use luau_syntax::ast::{AstVisitor, Expression, ExpressionKind, LocalId, Statement};

/// What a script assigns to after it was declared: such a local has no fixed meaning, such a global
/// is the script's own.
#[derive(Default)]
pub struct Assigned {
    /// Locals.
    pub locals: HashSet<LocalId>,
    /// Names of globals.
    pub globals: HashSet<Vec<u8>>,
}

impl Assigned {
    fn target(&mut self, target: Expression<'_>) {
        match target.kind() {
            ExpressionKind::Local { local, .. } => {
                self.locals.insert(local.identity());
            }
            ExpressionKind::Global(name) => {
                self.globals.insert(name.bytes().to_vec());
            }
            _ => {}
        }
    }
}

impl<'ast> AstVisitor<'ast> for Assigned {
    fn visit_assign_statement(&mut self, statement: Statement<'ast>) -> bool {
        for target in statement.as_assign().map_or(&[][..], |assign| assign.vars) {
            self.target(*target);
        }
        true
    }

    fn visit_compound_assign_statement(&mut self, statement: Statement<'ast>) -> bool {
        if let Some(assign) = statement.as_compound_assign() {
            self.target(assign.var);
        }
        true
    }

    fn visit_function_declaration_statement(&mut self, statement: Statement<'ast>) -> bool {
        if let Some(declaration) = statement.as_function_declaration() {
            self.target(declaration.name);
        }
        true
    }
}
