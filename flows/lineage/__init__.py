"""OpenLineage events of the stages: which data each run read and wrote. https://openlineage.io/spec/2-0-2/OpenLineage.json"""
