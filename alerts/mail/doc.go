// Package mail holds what people are told by e-mail, in Indonesian and in
// English: the words (catalogue.yaml), the shape of a mail (mail.tmpl), and the
// conversation with the server that takes it.
//
//	catalogue.yaml, mail.tmpl, the site --Templates--> templates of Alertmanager
//	                                    --Renderer---> a Message, without Alertmanager
//
// A mail tells of alerts that fire. None is ever sent because an alert ended:
// readings that stopped would end it too. The all-clear is an alert of its own,
// LimitKeptAgain.
package mail
