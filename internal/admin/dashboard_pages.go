package admin

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"net/http"
	"path"
	"time"
)

// The page is plain files, as a person wrote them. ui/uplot is uPlot as its
// author distributes it, unchanged, with its licence.
//
//go:embed ui
var uiFiles embed.FS

// contentTypes are those of the page's files. The host's own list is not asked:
// it may call a script text/plain, which browsers then do not run.
var contentTypes = map[string]string{
	".html": "text/html; charset=utf-8",
	".css":  "text/css; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".svg":  "image/svg+xml",
	"":      "text/plain; charset=utf-8", // LICENSE
}

// page is one embedded file.
type page struct {
	body      []byte
	mediaType string
	tag       string // changes with the body
}

// pages are the embedded files by their path.
type pages map[string]page

func newPages() pages {
	all := make(pages)
	err := fs.WalkDir(uiFiles, "ui", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		body, err := uiFiles.ReadFile(name)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(body)
		all[name[len("ui"):]] = page{body: body, mediaType: contentTypes[path.Ext(name)], tag: `"` + hex.EncodeToString(sum[:8]) + `"`}
		return nil
	})
	if err != nil {
		panic(err) // the files are in the program
	}
	all["/"] = all["/index.html"]
	return all
}

func (p pages) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	file, ok := p[r.URL.Path]
	if !ok {
		refuse(w, http.StatusNotFound, "no such page")
		return
	}
	w.Header().Set("Content-Type", file.mediaType)
	w.Header().Set("Cache-Control", "no-cache") // ask whether it has changed
	w.Header().Set("ETag", file.tag)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(file.body))
}
