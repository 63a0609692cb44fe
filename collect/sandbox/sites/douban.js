'use strict';

// The upload page: each file becomes a draft, one after the other; its description box comes when it is there.
const form = document.querySelector('#upload');

function cookie(name) {
  const found = document.cookie.split('; ').find((each) => each.startsWith(name + '='));
  return found ? decodeURIComponent(found.slice(name.length + 1)) : '';
}

function addRow(file) {
  const row = document.createElement('li');
  const picture = document.createElement('img');
  const state = document.createElement('span');
  picture.src = URL.createObjectURL(file);
  state.textContent = '正在上传…';
  row.append(picture, state);
  form.querySelector('.photos').append(row);
  return { row, state };
}

async function uploadDraft(file, { row, state }) {
  const body = new FormData();
  body.append('ck', cookie('ck'));
  body.append('category', 'photo');
  body.append('file', file);
  body.append('albumid', UPLOAD.ALBUM_ID);
  body.append('upload_auth_token', UPLOAD.UPLOAD_AUTH_TOKEN);
  try {
    const answer = await (await fetch('/j/photos/addphoto_draft', { method: 'POST', body })).json();
    if (!answer.id) throw new Error(answer.msg);
    const description = document.createElement('textarea');
    description.name = 'desc_' + answer.id;
    description.placeholder = '照片描述';
    state.replaceWith(description);
  } catch (error) {
    state.setAttribute('role', 'alert');
    state.textContent = error.message;
  }
}

if (form) {
  const input = form.querySelector('input[type=file]');
  const save = form.querySelector('button');
  let queue = Promise.resolve();
  let waiting = 0;
  input.addEventListener('change', () => {
    for (const file of input.files) {
      const row = addRow(file);
      waiting += 1;
      save.disabled = true;
      queue = queue.then(() => uploadDraft(file, row)).then(() => {
        waiting -= 1;
        save.disabled = waiting > 0 || !form.querySelector('textarea');
      });
    }
  });
  form.addEventListener('submit', () => { input.disabled = true; });
}

const remove = document.querySelector('#delete');
if (remove) {
  remove.addEventListener('submit', (event) => { if (!confirm('真的要删除这张照片吗？')) event.preventDefault(); });
}
