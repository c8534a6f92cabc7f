// Package checks holds the shipped configuration of others' programs against those
// who define it: the compose file against Compose's own loader, the manifests
// against Kubernetes' types, and what is rendered for containers against promtool
// and amtool.
//
// It is a module of its own, since these bring much that the ingester has no use
// for.
package checks
