module trimtab.dev/deploy/pause

go 1.26
