//! Real clients, unmodified, on both servers: what they print and leave behind on the embedded one is what they print and
//! leave behind on kube-apiserver.

#[path = "clients/helm.rs"]
mod helm;
#[path = "clients/manager.rs"]
mod manager;
#[path = "clients/terminal.rs"]
mod terminal;
