package mail

import "math"

var nan = math.NaN()
