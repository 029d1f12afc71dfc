def hex4: . as $c | [4096, 256, 16, 1] | map((($c / .) | floor) % 16 | "0123456789abcdef"[. : . + 1]) | join("");
def hidden: . >= 128 and . <= 159 or . == 1564 or . == 6158 or . >= 8203 and . <= 8207 or . >= 8232 and . <= 8238
  or . >= 8288 and . <= 8303 or . == 65279 or . >= 65529 and . <= 65531;
def str: tojson | if test("[\u0080-\u009f\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]")
  then explode | map(if hidden then "\\u" + hex4 else [.] | implode end) | join("") else . end;
def put($depth):
  if $depth > 64 then error("deep") else . end
  | type as $type
  | if $type == "object" then "{" + ([keys_unsorted[] as $k | ($k | str) + ":" + (.[$k] | put($depth + 1))] | join(",")) + "}"
    elif $type == "array" then "[" + (map(put($depth + 1)) | join(",")) + "]"
    elif $type == "string" then str
    elif $type == "number" then
      if floor != . or . > 9007199254740991 or . < -9007199254740991 then error("number") else . + 0 | tostring end
    else tojson end;
