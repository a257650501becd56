"""The keys that a batch may carry, and where each of them comes from.

A batch is a dictionary of arrays that lead with the axis of examples, [batch, ...]. `data.batches.fetch_batch` takes it
from the arrays of a split. `data.batches.training_view` or `evaluation_view` then turns it into what networks see.
Only `id` is always there: inputs and targets may have any name, shape and type. These names have a meaning:

- `image`: [batch, height, width, channels] or [batch, height, width]; other shapes are possible where the model and the
  augmentations accept them. It comes from the source (`data.sources`). A source that reads images from files
  (`data.lazy_images`) reads them when the batch is fetched. Both views turn uint8 into float32 in [0, 1], and
  `training_view` also augments the image.
- `label`: [batch], integers in [0, num_classes), if the source gives `num_classes`; otherwise anything. It comes from
  the source, or from the file together with the image.
  `data.splits` changes it if `subset` is set, or on the training split if `label_noise` is set.
- `id`: [batch], int32, the number of the example among the training, validation or test arrays of its source, counted
  from 0. Validation examples that are held out of the training arrays keep their numbers. `data.splits.with_ids` adds
  it.
- `tokens`, and what belongs to them: arrays [batch, length] of a text source. At position t a network reads
  `tokens[t]` and everything before it in the same segment, and predicts `label[t]`:
  - `tokens`: int32, the ids of the tokens that networks read.
  - `label`: int32, the token that is to be predicted at each position. The source has done the shift: `label[t]` is the
    token after `tokens[t]` in the document, also at the end of a row. So losses and metrics compare logits[t] with
    label[t] and shift nothing. With masked words it is the word that was there.
  - `mask`: bool, whether `label[t]` counts as a target. It belongs to the labels, not to the tokens: the last token of
    a prompt predicts the first token of the answer, so it is True there.
  - `segment`: int32, which document of the row a token belongs to, counted from 1; 0 is padding. A token must see its
    own segment alone.
  - `position`: int32, the place of a token in its segment, counted from 0.
  - `bytes`: int32, the number of bytes of text that `label[t]` stands for; 0 for special tokens.
  - `teacher_tokens`, [batch, teacher_length]: the same documents in the tokens of another tokenizer
    (`data.aligned_text`). `places` and `teacher_places`, [batch, length]: positions t and u at which `label[t]` and the
    token after `teacher_tokens[u]` begin at the same byte of the text; `places_mask`: whether they count.
- any other name: any further array of the source, such as `train_depth` and `test_depth` in an .npz file, which become
  `depth`. It reaches networks and terms unchanged, but in training crop and flip move it with the image if it is laid
  out like it (`data.augment.place_moves`).
- `target`: [batch, num_classes], the distributions over classes that belong to mixed images. `data.augment.augmented`
  adds it, only in training and only with mixup or CutMix. It replaces an array of the source with this name.
- `recorded`: {network: {activation: array [batch, ...]}}, recorded outputs of frozen networks; with stacked copies
  [batch, copies, ...]. `teacher_cache.replay.replay_outputs` adds it to the training split if `cache` is set.
  `core.forward.open_context` moves it into the context under the names of the networks, so no path reads
  'batch.recorded'.

Every key but `recorded` can be read through a path, for example 'batch.label' (see `core.paths`).
"""

RECORDED = 'recorded'
