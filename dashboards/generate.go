package dashboards

// The dashboards of the stations that "tofuwatch simulate" plays: what a person
// can look at, and what a change of the generator changes.
//
//go:generate sh -c "mkdir -p ../build && go run ../cmd/tofuwatch simulate --print-site >../build/generate.site.yaml && go run ../cmd/tofuwatch render dashboards --config ../build/generate.site.yaml --out ../build/generated >../build/generate.log && rm -rf generated && cp -r ../build/generated/dashboards generated"
