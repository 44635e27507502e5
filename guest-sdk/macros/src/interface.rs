//! `#[interface]`: a typed reference of a trait.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Error, FnArg, ItemTrait, Result, TraitItem, ext::IdentExt, spanned::Spanned};

use crate::{
    method::{Marks, Method},
    options::{Options, is_type_name},
    reference::{self, Reference},
};

pub(crate) fn expand(options: TokenStream, item: TokenStream) -> TokenStream {
    let mut item: ItemTrait = match syn::parse2(item) {
        Ok(item) => item,
        Err(error) => {
            let error =
                Error::new(error.span(), format!("#[interface] stands on a trait: {error}"));
            return error.to_compile_error();
        }
    };
    let written = write(options, &mut item).unwrap_or_else(|error| error.to_compile_error());
    let quiet = reference::quiet_methods();
    quote!(#[allow(dead_code)] #quiet #item #written)
}

fn write(options: TokenStream, item: &mut ItemTrait) -> Result<TokenStream> {
    let options = Options::parse(options)?;
    let bytes = options.is_bytes();
    if let Some(generic) = item.generics.params.first() {
        return Err(Error::new(generic.span(), "an interface cannot be generic"));
    }
    let mut methods = Vec::new();
    for item in &mut item.items {
        let TraitItem::Fn(function) = item else {
            continue;
        };
        let marks = Marks::take(&mut function.attrs)?;
        if matches!(function.sig.inputs.first(), Some(FnArg::Receiver(_))) && !marks.internal {
            methods.push(Method::read(&function.sig, &function.attrs, &marks, bytes)?);
        }
    }
    let type_name = options.type_name.map_or_else(|| item.ident.unraw().to_string(), |n| n.value());
    if !is_type_name(&type_name) {
        return Err(Error::new(item.ident.span(), "no name for a type: say `type_name = \"…\"`"));
    }
    let (structs, impls) = Reference {
        visibility: &item.vis,
        name: &item.ident,
        type_name: &type_name,
        methods: &methods,
        bytes,
    }
    .write();
    let arguments = reference::arguments(&methods);
    let quiet = reference::quiet();
    Ok(quote! {
        #structs

        #quiet
        const _: () = {
            #arguments
            #impls
        };
    })
}
