// Package provision makes what programs need to trust each other, at the first
// start and never again: passwords that nobody has chosen, the broker's
// certificate, and for InfluxDB 2 a token for each that may do what it has to and
// nothing else.
//
// Whoever runs it a second time finds everything as it was.
package provision

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/google/renameio/v2"
	influxdb2 "github.com/influxdata/influxdb-client-go/v2"
	"github.com/influxdata/influxdb-client-go/v2/domain"

	"tofuwatch/ingest/influx"
	"tofuwatch/internal/access"
)

// The files, each with one secret and the end of a line.
const (
	MQTTPassword    = "mqtt.password"      // the ingester's, for the broker
	InfluxDBToken   = "influxdb.token"     // for the ingester it may read and write the bucket, for Grafana read it
	GrafanaPassword = "admin.password"     // of Grafana's administrator
	AdminPassword   = "influxdb.password"  // of InfluxDB's administrator
	AdminToken      = "influxdb.token.all" // may do everything in InfluxDB
)

// secretMode lets those read who share the writer's group.
const secretMode = 0o640

// adminUser is the name of InfluxDB's administrator.
const adminUser = "admin"

// Dirs are the folders of secrets, one for each who may read them.
type Dirs struct {
	Ingester string // MQTTPassword, InfluxDBToken and the authority's certificate
	Grafana  string // GrafanaPassword and InfluxDBToken
	Broker   string // its certificate and key, and the authority's certificate
	Admin    string // AdminPassword, AdminToken and the authority's key: for people
}

// Passwords makes the passwords that are not there yet.
func Passwords(d Dirs) error {
	_, err := secret(d.Ingester, MQTTPassword)
	if err != nil {
		return err
	}
	_, err = secret(d.Grafana, GrafanaPassword)
	return err
}

// Certificates makes the site's own authority if there is none, and a certificate
// of the broker for these hosts unless it has one that is good for 90 days more.
func Certificates(d Dirs, site string, hosts []string, now func() time.Time) error {
	authority, err := access.OpenAuthority(d.Admin, site, now)
	if err != nil {
		return err
	}
	if _, _, err := authority.RenewServer(d.Broker, hosts); err != nil {
		return err
	}
	if err := os.Chmod(filepath.Join(d.Broker, access.ServerKeyFile), secretMode); err != nil {
		return fmt.Errorf("let the broker read its key: %w", err)
	}
	pem, err := os.ReadFile(filepath.Join(d.Admin, access.AuthorityFile))
	if err != nil {
		return fmt.Errorf("read the authority's certificate: %w", err)
	}
	for _, dir := range []string{d.Broker, d.Ingester} {
		if err := renameio.WriteFile(filepath.Join(dir, access.AuthorityFile), pem, 0o644, renameio.IgnoreUmask()); err != nil {
			return fmt.Errorf("write the authority's certificate: %w", err)
		}
	}
	return nil
}

// InfluxDB sets up an InfluxDB 2 that is new, creates o.Org's bucket if it is
// missing, and makes the tokens for the ingester and for Grafana unless they have
// them. One that others have set up needs their all-access token in AdminToken.
//
// The ingester's token may also read its bucket: drift is corrected from what is
// stored there.
func InfluxDB(ctx context.Context, o influx.Options, d Dirs) error {
	fresh, err := isNew(ctx, o)
	if err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(d.Admin, AdminToken)); !fresh && errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("InfluxDB has been set up already; want its all-access token in %s", filepath.Join(d.Admin, AdminToken))
	}
	// Both are on disk before InfluxDB knows them: after a crash in between they
	// are used again.
	password, err := secret(d.Admin, AdminPassword)
	if err != nil {
		return err
	}
	o.Token, err = secret(d.Admin, AdminToken)
	if err != nil {
		return err
	}
	client := influx.NewClient(o)
	defer client.Close()
	if fresh {
		if _, err := client.SetupWithToken(ctx, adminUser, password, o.Org, o.Bucket, 0, o.Token); err != nil {
			return fmt.Errorf("set up InfluxDB: %w", err)
		}
	}
	bucket, err := findBucket(ctx, client, o)
	if err != nil {
		return err
	}
	if err := grant(ctx, client, bucket, d.Ingester, "Tofuwatch: the ingester", domain.PermissionActionRead, domain.PermissionActionWrite); err != nil {
		return err
	}
	return grant(ctx, client, bucket, d.Grafana, "Tofuwatch: Grafana", domain.PermissionActionRead)
}

// isNew reports whether an InfluxDB waits to be set up.
func isNew(ctx context.Context, o influx.Options) (bool, error) {
	client := influx.NewClient(o)
	defer client.Close()
	state, err := client.APIClient().GetSetup(ctx, &domain.GetSetupParams{})
	if err != nil {
		return false, fmt.Errorf("ask InfluxDB 2 at %s whether it is set up: %w", o.URL.Redacted(), err)
	}
	return state.Allowed != nil && *state.Allowed, nil
}

// findBucket returns the bucket, which it creates if need be: what it holds is
// kept for ever.
func findBucket(ctx context.Context, client influxdb2.Client, o influx.Options) (*domain.Bucket, error) {
	org, err := client.OrganizationsAPI().FindOrganizationByName(ctx, o.Org)
	if err != nil {
		return nil, fmt.Errorf("find organisation %q: %w", o.Org, err)
	}
	buckets, err := client.APIClient().GetBuckets(ctx, &domain.GetBucketsParams{OrgID: org.Id, Name: &o.Bucket})
	if err != nil {
		return nil, fmt.Errorf("find bucket %q: %w", o.Bucket, err)
	}
	if buckets.Buckets != nil && len(*buckets.Buckets) > 0 {
		return &(*buckets.Buckets)[0], nil
	}
	bucket, err := client.BucketsAPI().CreateBucketWithName(ctx, org, o.Bucket)
	if err != nil {
		return nil, fmt.Errorf("create bucket %q: %w", o.Bucket, err)
	}
	return bucket, nil
}

// grant puts a token for the bucket into dir, unless there is one that InfluxDB
// knows. Earlier ones of the same description end.
func grant(ctx context.Context, client influxdb2.Client, bucket *domain.Bucket, dir, description string, actions ...domain.PermissionAction) error {
	file := filepath.Join(dir, InfluxDBToken)
	held, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read token: %w", err)
	}
	api := client.AuthorizationsAPI()
	all, err := api.FindAuthorizationsByOrgID(ctx, *bucket.OrgID)
	if err != nil {
		return fmt.Errorf("list tokens: %w", err)
	}
	var earlier []domain.Authorization
	for _, a := range *all {
		if a.Description == nil || *a.Description != description {
			continue
		}
		if a.Token != nil && *a.Token == string(bytes.TrimSpace(held)) {
			return nil
		}
		earlier = append(earlier, a)
	}

	permissions := make([]domain.Permission, len(actions))
	for i, action := range actions {
		permissions[i] = domain.Permission{Action: action, Resource: domain.Resource{Type: domain.ResourceTypeBuckets, Id: bucket.Id, OrgID: bucket.OrgID}}
	}
	made, err := api.CreateAuthorization(ctx, &domain.Authorization{
		AuthorizationUpdateRequest: domain.AuthorizationUpdateRequest{Description: &description},
		OrgID:                      bucket.OrgID,
		Permissions:                &permissions,
	})
	if err != nil {
		return fmt.Errorf("make token %q: %w", description, err)
	}
	if err := write(file, *made.Token); err != nil {
		return err
	}
	for i := range earlier {
		if err := api.DeleteAuthorization(ctx, &earlier[i]); err != nil {
			return fmt.Errorf("end an earlier token %q: %w", description, err)
		}
	}
	return nil
}

// secret returns the secret in a file, which it makes if it is missing.
func secret(dir, name string) (string, error) {
	file := filepath.Join(dir, name)
	data, err := os.ReadFile(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		made := access.NewPassword()
		return made, write(file, made)
	case err != nil:
		return "", fmt.Errorf("read secret: %w", err)
	}
	held := string(bytes.TrimSpace(data))
	if held == "" {
		return "", fmt.Errorf("%s is empty; want a secret in it, or no such file", file)
	}
	return held, nil
}

// write writes a secret for its owner, and for the group of those who are to
// read it.
func write(file, secret string) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o750); err != nil {
		return fmt.Errorf("make folder for secrets: %w", err)
	}
	if err := renameio.WriteFile(file, []byte(secret+"\n"), secretMode, renameio.IgnoreUmask()); err != nil {
		return fmt.Errorf("write secret: %w", err)
	}
	return nil
}
