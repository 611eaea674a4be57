package vault

import (
	"context"
	"net/http"
)

// A batchItem is one item of a batch for encrypt, decrypt or rewrap.
type batchItem struct {
	bound
	Plaintext  []byte `json:"plaintext,omitempty"`
	Ciphertext string `json:"ciphertext,omitempty"`
}

// A batchOutcome is what became of one item.
type batchOutcome struct {
	plainAndSealed
	err error
}

// batch has Transit do one thing with many items. There is one outcome for each; where the request itself fails, all have its error.
//
// The answer to decrypt has a status that says failure where one item is bad, and the results of all of them nevertheless.
func (t *transit) batch(ctx context.Context, word, name string, items []batchItem) []batchOutcome {
	body := struct {
		Items []batchItem `json:"batch_input"`
	}{items}
	var answer struct {
		Data struct {
			Results []struct {
				plainAndSealed
				Error string `json:"error"`
			} `json:"batch_results"`
		} `json:"data"`
	}
	err := t.client.do(ctx, http.MethodPost, t.path(word, name), body, &answer)
	results := answer.Data.Results
	outcomes := make([]batchOutcome, len(items))
	switch {
	case err != nil && !(isStatus(err, http.StatusBadRequest) && len(results) > 0):
		err = t.explain(err)
	case len(results) != len(items):
		err = errAnswer("has %d results for %d items", len(results), len(items))
	default:
		for i, result := range results {
			outcomes[i].plainAndSealed = result.plainAndSealed
			if result.Error != "" {
				outcomes[i].err = explainItem(result.Error)
			}
		}
		return outcomes
	}
	for _, result := range results {
		clear(result.Plaintext)
	}
	fail(outcomes, err)
	return outcomes
}

func fail(outcomes []batchOutcome, err error) {
	for i := range outcomes {
		outcomes[i].err = err
	}
}

func wipe(outcomes []batchOutcome) {
	for _, outcome := range outcomes {
		clear(outcome.Plaintext)
	}
}
