// Command manager is a controller as people write them with controller-runtime, for tests to run against Kogge's embedded
// server: whatever such a program asks of an API server, it asks.
//
// It keeps Widgets of example.com/v1 (unstructured, from the cache). Each gets a ServiceAccount of its name (typed, from
// the cache, created or updated) and a ConfigMap NAME-PART for each of spec.parts (applied by the server; the manager
// watches their metadata only). status.configMaps counts what is there, events tell when that is all, and a finalizer holds
// a Widget until its end is told too. Of several managers the one that holds the Lease `widgets.example.com` works.
package main

import (
	"context"
	"fmt"
	"os"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	applycorev1 "k8s.io/client-go/applyconfigurations/core/v1"
	applymetav1 "k8s.io/client-go/applyconfigurations/meta/v1"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"
)

const (
	finalizer = "example.com/manager"
	// owner is the index of ConfigMaps by the uid of the Widget they belong to.
	owner = "owner"
)

var widgetKind = schema.GroupVersionKind{Group: "example.com", Version: "v1", Kind: "Widget"}

func newWidget() *unstructured.Unstructured {
	widget := &unstructured.Unstructured{}
	widget.SetGroupVersionKind(widgetKind)
	return widget
}

func main() {
	ctrl.SetLogger(zap.New())
	if err := run(ctrl.SetupSignalHandler()); err != nil {
		ctrl.Log.Error(err, "the manager failed")
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	config, err := ctrl.GetConfig()
	if err != nil {
		return err
	}
	manager, err := ctrl.NewManager(config, ctrl.Options{
		LeaderElection:                true,
		LeaderElectionID:              "widgets.example.com",
		LeaderElectionNamespace:       "default",
		LeaderElectionReleaseOnCancel: true,
		Metrics:                       server.Options{BindAddress: "0"},
		Client:                        client.Options{Cache: &client.CacheOptions{Unstructured: true}},
	})
	if err != nil {
		return err
	}
	configMap := &metav1.PartialObjectMetadata{}
	configMap.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("ConfigMap"))
	err = manager.GetFieldIndexer().IndexField(ctx, configMap, owner, func(object client.Object) []string {
		if controller := metav1.GetControllerOf(object); controller != nil && controller.Kind == widgetKind.Kind {
			return []string{string(controller.UID)}
		}
		return nil
	})
	if err != nil {
		return err
	}
	err = ctrl.NewControllerManagedBy(manager).
		For(newWidget()).
		Owns(&corev1.ServiceAccount{}).
		Owns(&corev1.ConfigMap{}, builder.OnlyMetadata).
		Complete(&reconciler{manager.GetClient(), manager.GetEventRecorder("widget-manager")})
	if err != nil {
		return err
	}
	return manager.Start(ctx)
}

type reconciler struct {
	client   client.Client
	recorder events.EventRecorder
}

func (r *reconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	widget := newWidget()
	if err := r.client.Get(ctx, request.NamespacedName, widget); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	keep := r.keep
	if widget.GetDeletionTimestamp() != nil {
		keep = r.dismantle
	}
	err := keep(ctx, widget)
	if apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) {
		// The cache is behind the server.
		return ctrl.Result{RequeueAfter: 100 * time.Millisecond}, nil
	}
	return ctrl.Result{}, err
}

func (r *reconciler) keep(ctx context.Context, widget *unstructured.Unstructured) error {
	before := widget.DeepCopy()
	if controllerutil.AddFinalizer(widget, finalizer) {
		// The patch repeats all finalizers, so it must not be of an older object.
		patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
		if err := r.client.Patch(ctx, widget, patch); err != nil {
			return err
		}
	}
	if err := r.keepServiceAccount(ctx, widget); err != nil {
		return err
	}
	if err := r.keepConfigMaps(ctx, widget); err != nil {
		return err
	}
	return r.tellStatus(ctx, widget)
}

func (r *reconciler) dismantle(ctx context.Context, widget *unstructured.Unstructured) error {
	before := widget.DeepCopy()
	if !controllerutil.RemoveFinalizer(widget, finalizer) {
		return nil
	}
	patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	if err := r.client.Patch(ctx, widget, patch); err != nil {
		return client.IgnoreNotFound(err)
	}
	r.recorder.Eventf(widget, nil, corev1.EventTypeNormal, "Dismantled", "Dismantle", "%s is let go", widget.GetName())
	return nil
}

func (r *reconciler) keepServiceAccount(ctx context.Context, widget *unstructured.Unstructured) error {
	account := &corev1.ServiceAccount{}
	account.Name, account.Namespace = widget.GetName(), widget.GetNamespace()
	_, err := controllerutil.CreateOrUpdate(ctx, r.client, account, func() error {
		metav1.SetMetaDataLabel(&account.ObjectMeta, "example.com/widget", widget.GetName())
		return controllerutil.SetControllerReference(widget, account, r.client.Scheme())
	})
	return err
}

// keepConfigMaps applies a ConfigMap for each part and deletes those of parts that are gone.
func (r *reconciler) keepConfigMaps(ctx context.Context, widget *unstructured.Unstructured) error {
	parts, _, err := unstructured.NestedSlice(widget.Object, "spec", "parts")
	if err != nil {
		return err
	}
	wanted := map[string]bool{}
	for _, part := range parts {
		fields, _ := part.(map[string]any)
		name := fmt.Sprintf("%s-%v", widget.GetName(), fields["name"])
		wanted[name] = true
		reference := applymetav1.OwnerReference().
			WithAPIVersion(widget.GetAPIVersion()).WithKind(widget.GetKind()).
			WithName(widget.GetName()).WithUID(widget.GetUID()).
			WithController(true).WithBlockOwnerDeletion(true)
		configMap := applycorev1.ConfigMap(name, widget.GetNamespace()).
			WithOwnerReferences(reference).
			WithData(map[string]string{"weight": fmt.Sprint(fields["weight"])})
		if err := r.client.Apply(ctx, configMap, client.FieldOwner("widget-manager"), client.ForceOwnership); err != nil {
			return err
		}
	}
	owned, err := r.configMaps(ctx, widget)
	if err != nil {
		return err
	}
	for i := range owned {
		if wanted[owned[i].Name] || owned[i].DeletionTimestamp != nil {
			continue
		}
		precondition := client.Preconditions{UID: &owned[i].UID}
		if err := r.client.Delete(ctx, &owned[i], precondition); client.IgnoreNotFound(err) != nil {
			return err
		}
	}
	return nil
}

// configMaps are those of a Widget that the cache of metadata knows.
func (r *reconciler) configMaps(ctx context.Context, widget client.Object) ([]metav1.PartialObjectMetadata, error) {
	list := &metav1.PartialObjectMetadataList{}
	list.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("ConfigMapList"))
	err := r.client.List(ctx, list, client.InNamespace(widget.GetNamespace()), client.MatchingFields{owner: string(widget.GetUID())})
	return list.Items, err
}

// tellStatus tells how many ConfigMaps the cache of metadata knows, and by an event when they are as many as wanted.
func (r *reconciler) tellStatus(ctx context.Context, widget *unstructured.Unstructured) error {
	owned, err := r.configMaps(ctx, widget)
	if err != nil {
		return err
	}
	status := map[string]any{"observedGeneration": widget.GetGeneration(), "configMaps": int64(len(owned))}
	if equality.Semantic.DeepEqual(widget.Object["status"], status) {
		return nil
	}
	widget.Object["status"] = status
	if err := r.client.Status().Update(ctx, widget); err != nil {
		return err
	}
	if parts, _, _ := unstructured.NestedSlice(widget.Object, "spec", "parts"); len(parts) == len(owned) {
		r.recorder.Eventf(widget, nil, corev1.EventTypeNormal, "Assembled", "Assemble", "%s has %d parts", widget.GetName(), len(owned))
	}
	return nil
}
