package site

import "tofuwatch/internal/strict"

// A Fault is one thing wrong with a site file.
type Fault = strict.Fault

// Faults are all that is wrong with a site file, in the order of the file.
type Faults = strict.Faults
