#!/bin/sh
# A backfill on Dataflow. Change the names, then: deploy/dataflow.sh job.yaml
#
# - `sink.path` and `state` in the configuration must be gs:// places: what a worker writes on its own disk is gone with it, and
#   the command refuses it.
# - --max_num_workers and no_use_multiple_sdk_containers say how many processes share the job's rate.
# - Workers sign in themselves: with managed identity from Azure that is not possible here, so bake a way to the secret into the
#   image, and name it in the configuration. Never give a secret as an option: options are shown on the job's page.
set -eu
: "${PROJECT:?the Google Cloud project}" "${REGION:?such as europe-north1}" "${BUCKET:?such as gs://my-bucket}"
exec omnia-beam backfill "$1" --json --runner=DataflowRunner -- \
  --project="$PROJECT" --region="$REGION" \
  --temp_location="$BUCKET/tmp" --staging_location="$BUCKET/staging" \
  --max_num_workers=4 --experiments=no_use_multiple_sdk_containers \
  --setup_file=./setup.py
