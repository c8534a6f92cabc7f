package checks_test

import (
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	"sigs.k8s.io/yaml"

	"tofuwatch/internal/provision"
	"tofuwatch/internal/testenv"
)

// manifests decodes the manifests strictly: a field that Kubernetes does not know
// fails the test.
func manifests(t *testing.T) map[string]any {
	t.Helper()
	kinds := map[string]func() any{
		"v1 Namespace":                       func() any { return new(core.Namespace) },
		"v1 ServiceAccount":                  func() any { return new(core.ServiceAccount) },
		"v1 ConfigMap":                       func() any { return new(core.ConfigMap) },
		"v1 Secret":                          func() any { return new(core.Secret) },
		"v1 Service":                         func() any { return new(core.Service) },
		"apps/v1 StatefulSet":                func() any { return new(apps.StatefulSet) },
		"networking.k8s.io/v1 NetworkPolicy": func() any { return new(networking.NetworkPolicy) },
	}
	all := make(map[string]any)
	for _, file := range []string{"../kubernetes/tofuwatch.yaml", "../kubernetes/secret.example.yaml"} {
		for document := range strings.SplitSeq(read(t, file), "\n---\n") {
			var head struct{ APIVersion, Kind string }
			if err := yaml.Unmarshal([]byte(document), &head); err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			kind := head.APIVersion + " " + head.Kind
			fresh, ok := kinds[kind]
			if !ok {
				t.Fatalf("%s: no kind %q is known here", file, kind)
			}
			object := fresh()
			if err := yaml.UnmarshalStrict([]byte(document), object); err != nil {
				t.Errorf("%s: %s: %v", file, kind, err)
			}
			all[head.Kind] = object
		}
	}
	if got, want := len(all), len(kinds); got != want {
		t.Fatalf("got %d kinds, want %d", got, want)
	}
	return all
}

func TestManifestsFitEachOther(t *testing.T) {
	all := manifests(t)
	set, service := all["StatefulSet"].(*apps.StatefulSet), all["Service"].(*core.Service)
	pod, labels := set.Spec.Template.Spec, set.Spec.Template.Labels
	secret, site := all["Secret"].(*core.Secret), all["ConfigMap"].(*core.ConfigMap)

	for name, selector := range map[string]map[string]string{
		"the set": set.Spec.Selector.MatchLabels, "the service": service.Spec.Selector,
		"the policy": all["NetworkPolicy"].(*networking.NetworkPolicy).Spec.PodSelector.MatchLabels,
	} {
		for key, value := range selector {
			if labels[key] != value {
				t.Errorf("%s selects %s=%s, want %q", name, key, value, labels[key])
			}
		}
	}
	if set.Spec.ServiceName != service.Name || *set.Spec.Replicas != 1 {
		t.Errorf("got service %s and %d replicas, want %s and 1", set.Spec.ServiceName, *set.Spec.Replicas, service.Name)
	}
	volumes := map[string]bool{set.Spec.VolumeClaimTemplates[0].Name: true}
	for _, v := range pod.Volumes {
		volumes[v.Name] = true
		if v.Secret != nil && v.Secret.SecretName != secret.Name && v.Secret.SecretName != secret.Name+"-web" || v.ConfigMap != nil && v.ConfigMap.Name != site.Name {
			t.Errorf("volume %s is of something that does not exist", v.Name)
		}
	}
	c := pod.Containers[0]
	for _, m := range c.VolumeMounts {
		if !volumes[m.Name] {
			t.Errorf("there is no volume %s", m.Name)
		}
	}
	ready := []string{"/usr/bin/tofuwatch", "ready", c.Args[1]}
	alive := slices.Insert(slices.Clone(ready), 2, "--alive")
	for name, probe := range map[string]struct {
		got  *core.Probe
		want []string
	}{"startup": {c.StartupProbe, alive}, "liveness": {c.LivenessProbe, alive}, "readiness": {c.ReadinessProbe, ready}} {
		if got := probe.got.Exec.Command; !slices.Equal(got, probe.want) {
			t.Errorf("%s: got %v, want %v", name, got, probe.want)
		}
	}
}

func TestPodMayDoLittle(t *testing.T) {
	pod := manifests(t)["StatefulSet"].(*apps.StatefulSet).Spec.Template.Spec
	own := pod.Containers[0].SecurityContext
	if !*pod.SecurityContext.RunAsNonRoot || *pod.SecurityContext.RunAsUser == 0 || pod.SecurityContext.SeccompProfile.Type != core.SeccompProfileTypeRuntimeDefault {
		t.Errorf("got security context %v, want no root and the default seccomp profile", pod.SecurityContext)
	}
	if *own.AllowPrivilegeEscalation || !*own.ReadOnlyRootFilesystem || !slices.Equal(own.Capabilities.Drop, []core.Capability{"ALL"}) || own.Capabilities.Add != nil {
		t.Errorf("got security context %v, want no more privileges, a read-only root file system and no capabilities", own)
	}
	if *pod.AutomountServiceAccountToken {
		t.Error("the pod has a token for Kubernetes, want none")
	}
}

// The site file of the manifests is one, and its secrets are in the secret.
func TestSiteOfTheManifests(t *testing.T) {
	all, dir := manifests(t), t.TempDir()
	site := all["ConfigMap"].(*core.ConfigMap).Data["site.yaml"]
	file := filepath.Join(dir, "site.yaml")
	write(t, file, strings.NewReplacer("/etc/tofuwatch/secrets", dir, "/etc/tofuwatch/web", filepath.Join(dir, "web")).Replace(site))
	for name := range all["Secret"].(*core.Secret).StringData {
		if !strings.Contains(site, "/etc/tofuwatch/secrets/"+name) {
			t.Errorf("nothing in the site file names the secret %s", name)
		}
		write(t, filepath.Join(dir, name), "secret\n")
	}
	write(t, filepath.Join(dir, "ca.pem"), read(t, testenv.NewTLS(t).CAFile))
	if _, err := provision.Web(filepath.Join(dir, "web"), filepath.Join(dir, "authority"), "semarang", []string{"tofuwatch"}, time.Now); err != nil {
		t.Fatal(err)
	}
	succeeds(t, testenv.Command(t), "check", "--config", file)

	args := all["StatefulSet"].(*apps.StatefulSet).Spec.Template.Spec.Containers[0].Args
	help, err := exec.Command(testenv.Command(t), args[0], "--help").CombinedOutput()
	if err != nil {
		t.Fatal(err)
	}
	for _, arg := range args[1:] {
		if flag, _, _ := strings.Cut(arg, "="); !strings.Contains(string(help), flag+" ") {
			t.Errorf("tofuwatch %s has no %s", args[0], flag)
		}
	}
}
