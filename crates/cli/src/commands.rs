//! One file per command.

pub mod cluster_create;
pub mod cluster_delete;
pub mod cluster_diagnose;
pub mod cluster_get;
pub mod cluster_kubeconfig;
pub mod cluster_list;
pub mod cluster_plan;
pub mod cluster_scale;
pub mod cluster_tree;
pub mod cluster_upgrade;
pub mod cluster_watch;
pub mod completions;
pub mod conformance_run;
pub mod explain;
pub mod import;
pub mod up;
